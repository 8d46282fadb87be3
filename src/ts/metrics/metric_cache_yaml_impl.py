"""`ts.metrics.metric_cache_yaml_impl` is `stoker.worker.metrics`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics")
