"""`ts.torch_handler.densenet_handler` is `stoker.handlers.densenet_handler`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.densenet_handler")
