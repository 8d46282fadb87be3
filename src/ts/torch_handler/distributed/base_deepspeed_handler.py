"""`ts.torch_handler.distributed.base_deepspeed_handler` is `stoker.handlers.deepspeed`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.deepspeed")
