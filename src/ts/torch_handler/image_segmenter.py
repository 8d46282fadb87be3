"""`ts.torch_handler.image_segmenter` is `stoker.handlers.image_segmenter`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.image_segmenter")
