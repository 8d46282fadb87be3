"""`ts.metrics.system_metrics` is `stoker.worker.metrics_system`."""

from ts._alias import alias

alias(__name__, "stoker.worker.metrics_system")
