"""`ts.utils.util` is `stoker.handlers.util`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.util")
