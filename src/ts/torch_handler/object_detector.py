"""`ts.torch_handler.object_detector` is `stoker.handlers.object_detector`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.object_detector")
