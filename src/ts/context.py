"""`ts.context` is `stoker.worker.context`."""

from ts._alias import alias

alias(__name__, "stoker.worker.context")
