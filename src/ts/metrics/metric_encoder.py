"""`ts.metrics.metric_encoder` is `stoker.worker.metrics_legacy`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_legacy")
