"""`ts.handler_utils.text_utils` is `stoker.handlers.text_utils`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.text_utils")
