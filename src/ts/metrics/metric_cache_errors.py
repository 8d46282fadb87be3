"""`ts.metrics.metric_cache_errors` is `stoker.worker.metrics_errors`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_errors")
