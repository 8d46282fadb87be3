"""`ts.torch_handler.image_classifier` is `stoker.handlers.image_classifier`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.image_classifier")
