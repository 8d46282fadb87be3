"""`ts.metrics.metric_abstract` is `stoker.worker.metrics_caching`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_caching")
