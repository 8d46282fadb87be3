"""`ts.handler_utils.distributed.deepspeed` is `stoker.handlers.deepspeed`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.deepspeed")
