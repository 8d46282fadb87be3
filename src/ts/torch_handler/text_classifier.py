"""`ts.torch_handler.text_classifier` is `stoker.handlers.text_classifier`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.text_classifier")
