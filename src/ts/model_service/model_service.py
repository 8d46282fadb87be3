"""`ts.model_service.model_service` is `stoker.handlers.model_service`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.model_service")
