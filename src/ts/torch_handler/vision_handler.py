"""`ts.torch_handler.vision_handler` is `stoker.handlers.vision`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.vision")
