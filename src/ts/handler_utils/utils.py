"""`ts.handler_utils.utils` is `stoker.worker.handler_utils`."""

from ts._alias import alias

alias(__name__, "stoker.worker.handler_utils")
