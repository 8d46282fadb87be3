"""`ts.metrics.dimension` is `stoker.worker.metrics_types`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_types")
