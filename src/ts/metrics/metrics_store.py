"""`ts.metrics.metrics_store` is `stoker.worker.metrics_legacy`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_legacy")
