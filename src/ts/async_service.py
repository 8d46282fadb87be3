"""`ts.async_service` is `stoker.worker.async_service`."""

from ts._alias import alias

alias(__name__, "stoker.worker.async_service")
