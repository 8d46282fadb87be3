"""`ts.model_loader` is `stoker.worker.model_loader`."""

from ts._alias import alias

alias(__name__, "stoker.worker.model_loader")
