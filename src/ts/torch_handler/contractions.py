"""`ts.torch_handler.contractions` is `stoker.handlers.contractions`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.contractions")
