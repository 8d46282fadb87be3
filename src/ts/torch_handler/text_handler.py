"""`ts.torch_handler.text_handler` is `stoker.handlers.text`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.text")
