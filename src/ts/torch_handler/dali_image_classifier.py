"""`ts.torch_handler.dali_image_classifier` is `stoker.handlers.dali_image_classifier`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.dali_image_classifier")
