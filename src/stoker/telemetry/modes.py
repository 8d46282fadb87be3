"""Maps the setting metrics_mode to where metrics go."""

from __future__ import annotations

from typing import NamedTuple

INFERENCE_COUNTERS = (
    "ts_inference_requests_total",
    "ts_inference_latency_microseconds",
    "ts_queue_latency_microseconds",
)


class Mode(NamedTuple):
    """``logged``, ``served``: TorchServe's metrics, except the three `INFERENCE_COUNTERS`, which have columns of their
    own. ``measured``: False if nothing is counted."""

    name: str
    logged: bool
    served: bool
    counters_logged: bool
    counters_served: bool
    measured: bool = True

    @property
    def any_served(self) -> bool:
        return self.served or self.counters_served

    def logs(self, name: str) -> bool:
        return self.counters_logged if name in INFERENCE_COUNTERS else self.logged

    def serves(self, name: str) -> bool:
        return self.counters_served if name in INFERENCE_COUNTERS else self.served


MODES = {
    mode.name: mode
    for mode in (
        Mode("log", logged=True, served=False, counters_logged=True, counters_served=False),
        Mode("prometheus", logged=False, served=True, counters_logged=False, counters_served=True),
        Mode("legacy", logged=True, served=False, counters_logged=False, counters_served=True),
        Mode("off", logged=False, served=False, counters_logged=False, counters_served=False, measured=False),
    )
}
