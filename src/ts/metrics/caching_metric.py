"""`ts.metrics.caching_metric` is `stoker.worker.metrics_caching`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_caching")
