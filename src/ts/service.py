"""`ts.service` is `stoker.worker.service`."""

from ts._alias import alias

alias(__name__, "stoker.worker.service")
