"""`ts.handler_utils.micro_batching` is `stoker.handlers.micro_batching`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.micro_batching")
