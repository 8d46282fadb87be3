"""Keeps all metrics of a server: counts plain numbers, and names and formats them when they are read.

The data path only adds to integers (`core.measures`).  Names and labels are added when Prometheus scrapes, or, in the
modes that log, ten times a second while requests arrive: then each changed counter is one line with its increase, and
each gauge one line with its newest value.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from stoker.core.job import ModelKey
from stoker.core.measures import ModelCounters, Newest, Unmeasured, WorkflowCounters
from stoker.core.ports import ModelFigures, ModelTelemetry
from stoker.telemetry import declared as declarations
from stoker.telemetry import exposition
from stoker.telemetry.declared import BadMetricsFile, Declarations, Declared
from stoker.telemetry.family import Family, Labels
from stoker.telemetry.line_buffer import Post
from stoker.telemetry.metric_log import MODEL_METRICS, TS_METRICS, MetricLog
from stoker.telemetry.model_metrics import HandlerMetrics, ModelMetrics
from stoker.telemetry.modes import INFERENCE_COUNTERS, MODES, Mode

log = logging.getLogger(__name__)

MAX_FORGOTTEN = 1000
"""Unregistered model versions whose counters are kept, because counters must not decrease."""

_HOST = "Host"
_FIXED_TYPES = {
    **dict.fromkeys(("Requests2XX", "Requests4XX", "Requests5XX", *INFERENCE_COUNTERS), "counter"),
    **dict.fromkeys(("QueueTime", "WorkerThreadTime"), "gauge"),
}
"""Metrics kept as plain numbers; their type does not depend on the metrics file."""

Named = tuple[str, Labels, float]


class Metrics:
    """Implements `core.ports.MetricsPort` and `RequestTelemetry`, and makes the `ModelTelemetry` of each model version.

    ``ts_log``, ``model_log``: where lines go; None: the log is off.  ``config``: the metrics file, None for the
    packaged one.  ``as_json``: write JSON lines.
    """

    def __init__(
        self,
        *,
        mode: str,
        config: Path | None = None,
        auto_detect: bool = False,
        ts_log: Post | None = None,
        model_log: Post | None = None,
        host: str | None = None,
        as_json: bool = False,
    ) -> None:
        self._mode = _mode(mode)
        self._host = host or socket.gethostname()
        self._newest = Newest()
        self._logged: dict[tuple[str, Labels], float] = {}
        self._models: dict[ModelKey, ModelMetrics] = {}
        self._workflows: dict[str, WorkflowCounters] = {}
        self._figures: Callable[[], Iterable[ModelFigures]] = tuple
        self._requests_2xx = self._requests_4xx = self._requests_5xx = 0
        declared = _read(config)
        self._families = {name: Family(_with_fixed_type(each)) for name, each in declared.frontend.items()}
        names = (TS_METRICS, MODEL_METRICS) if as_json else (None, None)
        self._ts_log = self._model_log = None
        if ts_log is not None:
            self._ts_log = MetricLog(ts_log, self._host, on_flush=self._log_changes, json_name=names[0])
        if model_log is not None and self._mode.logged:
            self._model_log = MetricLog(model_log, self._host, json_name=names[1])
        self._handlers = HandlerMetrics(
            declared.model,
            host=self._host,
            log=self._model_log,
            served=self._mode.served,
            auto_detect=auto_detect,
            taken=set(self._families),
        )
        self._request_log = self._ts_log if self._mode.logged or self._mode.counters_logged else None

    # -------------------------------------------------------------------------------------- what is counted

    def answered(self, http_status: int, count: int = 1) -> None:
        """Counts answered requests. What changed is logged within a tenth of a second."""
        if 200 <= http_status < 300:
            self._requests_2xx += count
        elif 400 <= http_status < 500:
            self._requests_4xx += count
        else:
            self._requests_5xx += count
        if self._request_log is not None and self._request_log.buffer.timer is None:
            self._request_log.buffer.wake()

    def model(self, key: ModelKey) -> ModelTelemetry:
        """Implements `core.ports.ModelTelemetryOf`."""
        if not self._mode.measured:
            return Unmeasured()
        found = self._models.get(key)
        if found is None:
            found = ModelMetrics(key, ModelCounters(self._newest), self._handlers, load_time=self._worker_loaded)
            self._models[key] = found
            self._forget_oldest()
        return found

    def workflow(self, name: str) -> WorkflowCounters:
        """Returns the same counters for the same name, also when it is registered anew."""
        counters = self._workflows.setdefault(name, WorkflowCounters())
        if len(self._workflows) > MAX_FORGOTTEN:
            del self._workflows[next(iter(self._workflows))]
        return counters

    def watch(self, figures: Callable[[], Iterable[ModelFigures]]) -> None:
        """Sets the source of figures about the registered models."""
        self._figures = figures

    @property
    def measures(self) -> bool:
        return self._mode.measured

    def update(self, name: str, labels: Labels, value: float) -> None:
        """Updates a server metric that is measured now and then. ``labels``: all but the host name."""
        family = self._family(name, (*labels, self._host))
        if family is None:
            return
        if self._ts_log is not None and self._mode.logs(name):
            self._ts_log.add(family.declared, (*labels, self._host), value)
        if self._mode.serves(name):
            family.update((*labels, self._host), value)

    def _worker_loaded(self, worker: str, seconds: float) -> None:
        self.update("WorkerLoadTime", (worker, _HOST), float(round(seconds * 1000)))

    def flush(self) -> None:
        """Hands over everything not yet logged. Called at the stop."""
        for each in (self._ts_log, self._model_log):
            if each is not None:
                each.buffer.flush()

    def _forget_oldest(self) -> None:
        """Drops the oldest counters of unregistered models."""
        if len(self._models) <= MAX_FORGOTTEN:
            return
        live = {each.key for each in self._figures()}
        gone = [key for key in self._models if key not in live]
        for key in gone[: max(0, len(gone) - MAX_FORGOTTEN)]:
            del self._models[key]

    # ------------------------------------------------------------------------------------------- what is read

    def exposition(self, names: Sequence[str] = ()) -> bytes:
        if not self._mode.any_served:
            return b""
        return "".join(self._text(frozenset(names))).encode("utf-8", "backslashreplace")

    def _text(self, names: frozenset[str]) -> Iterator[str]:
        for name, labels, value in self._now():
            if self._mode.serves(name) and (family := self._family(name, labels)) is not None:
                family.put(labels, value)
        for name, family in self._families.items():
            if self._mode.serves(name) and family.legal:
                yield from family.text(names)
        yield from self._handlers.text(names)
        counted = [(each.key, each.counters) for each in self._models.values()]
        yield from exposition.text(counted, self._figures(), names, self._workflows)

    def _now(self) -> Iterator[Named]:
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Named]:
        """Yields the counters that have ever changed."""
        host = self._host
        for name, count in (
            ("Requests2XX", self._requests_2xx),
            ("Requests4XX", self._requests_4xx),
            ("Requests5XX", self._requests_5xx),
        ):
            if count:
                yield name, (_HOST, host), count
        for (model, version), (requests, latency_s, queued_s) in self._inference_totals().items():
            labels = (model, version, host)
            if requests:
                yield "ts_inference_requests_total", labels, requests
            yield "ts_inference_latency_microseconds", labels, round(latency_s * 1e6, 3)
            yield "ts_queue_latency_microseconds", labels, round(queued_s * 1e6, 3)

    def _inference_totals(self) -> dict[tuple[str, str], tuple[int, float, float]]:
        """Returns totals by model and requested version, ``default`` if none was requested."""
        found: dict[tuple[str, str], tuple[int, float, float]] = {}
        for key, model in self._models.items():
            counters = model.counters
            counters.settle()
            for version, totals in (("default", counters.by_default), (key.version, counters.by_version)):
                if totals.requests or totals.latency_s:  # jobs of workflows are not requests of their own
                    requests, latency_s, queued_s = found.get((key.name, version), (0, 0.0, 0.0))
                    found[key.name, version] = (
                        requests + totals.requests,
                        latency_s + totals.latency_s,
                        queued_s + totals.queued_s,
                    )
        return found

    def _gauges(self) -> Iterator[Named]:
        newest, labels = self._newest, (_HOST, self._host)
        if newest.served:
            yield "QueueTime", labels, float(int(newest.queued_s * 1000))
        if newest.batches:
            yield "WorkerThreadTime", labels, float(max(0, int(newest.overhead_s * 1000)))

    def _log_changes(self) -> None:
        logged = self._logged
        for name, labels, value in self._counters():
            before = logged.get((name, labels), 0.0)
            if value != before and self._mode.logs(name):
                logged[name, labels] = value
                # A model that was forgotten no longer counts: like a counter that was reset, the total is logged whole.
                self._log(name, labels, round(value - before, 3) if value > before else value)
        moved = (("QueueTime", self._newest.served), ("WorkerThreadTime", self._newest.batches))
        values = {name: (labels, value) for name, labels, value in self._gauges()}
        for name, count in moved:
            if count != logged.get((name, ()), 0) and self._mode.logs(name):
                logged[name, ()] = count
                self._log(name, *values[name])

    def _log(self, name: str, labels: Labels, value: float) -> None:
        family = self._family(name, labels)
        if family is not None and self._ts_log is not None:
            self._ts_log.add(family.declared, labels, value)

    def _family(self, name: str, labels: Labels) -> Family | None:
        """Returns the family, None if the metrics file does not declare it with this many labels."""
        family = self._families.get(name)
        if family is None or len(family.declared.labels) == len(labels):
            return family
        log.error(
            "Metric %s is dropped: the metrics file gives it %d dimensions, it has %d",
            name,
            len(family.declared.labels),
            len(labels),
            extra={"event": "metric_dropped"},
        )
        del self._families[name]
        return None


def _mode(name: str) -> Mode:
    """Parses the mode. As in TorchServe, an unknown one means log."""
    if name not in MODES:
        text = "metrics_mode: %r is not one of %s; metrics are logged"
        log.error(text, name, ", ".join(MODES), extra={"event": "metrics_mode"})
    return MODES.get(name, MODES["log"])


def _with_fixed_type(each: Declared) -> Declared:
    kind = _FIXED_TYPES.get(each.name, each.type)
    if kind != each.type:
        text = "The metrics file declares %s as a %s; it is a %s here"
        log.warning(text, each.name, each.type, kind, extra={"event": "metrics_file"})
    return Declared(each.name, kind, each.unit, each.labels)


def _read(config: Path | None) -> Declarations:
    """Reads the metrics file. An unusable one costs only the metrics it would declare."""
    try:
        return declarations.read(config)
    except BadMetricsFile as error:
        log.error(
            "metrics_config=%s: %s. TorchServe's metrics are neither logged nor served until it is corrected.",
            "" if config is None else config.name,
            error,
            extra={"event": "metrics_file"},
        )
        return Declarations()
