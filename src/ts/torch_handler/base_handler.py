"""`ts.torch_handler.base_handler` is `stoker.handlers.base`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.base")
