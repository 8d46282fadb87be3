"""`ts.model_service_worker` is `stoker.worker.model_service_worker`."""

from ts._alias import alias

alias(__name__, "stoker.worker.model_service_worker")
