"""`ts.handler_utils.timer` is `stoker.handlers.timer`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.timer")
