"""Holds one metric with its series, and writes it for Prometheus.

The text is that of TorchServe's Java client: a comma after the last label, decimals, no suffix on counter names.  The
number of series is bounded, whatever a handler uses as label values.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from stoker.core.measures import Histogram
from stoker.telemetry.declared import Declared

log = logging.getLogger(__name__)

MAX_SERIES = 1000
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

Labels = tuple[str, ...]
"""Label values, in declaration order."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family:
    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._values: dict[Labels, float] = {}
        self._histograms: dict[Labels, Histogram] = {}
        self._complained = False

    @property
    def legal(self) -> bool:
        """Tells whether Prometheus can read these names."""
        names = self.declared.labels
        return (
            _NAME.fullmatch(self.declared.name) is not None
            and all(_LABEL.fullmatch(name) and name != "le" for name in names)
            and len(set(names)) == len(names)
        )

    def update(self, labels: Labels, value: float) -> None:
        """Updates a series: counters add, gauges store, histograms observe. `accepts` refuses negative counts."""
        kind = self.declared.type
        if kind == "histogram":
            histogram = self._histograms.get(labels)
            if histogram is None:
                if not self._has_room():
                    return
                histogram = self._histograms[labels] = Histogram(BOUNDS)
            histogram.observe(value)
        elif labels in self._values or self._has_room():
            self._values[labels] = self._values.get(labels, 0.0) + value if kind == "counter" else value

    def setter(self, labels: Labels) -> Callable[[float], None] | None:
        """Returns a fast `update` for one series of a gauge, None if there is none."""
        if self.declared.type != "gauge" or not self.legal or not self._has_room():
            return None
        return functools.partial(self._values.__setitem__, labels)

    def put(self, labels: Labels, value: float) -> None:
        """Replaces a value that is kept elsewhere."""
        if labels in self._values or self._has_room():
            self._values[labels] = value

    def _has_room(self) -> bool:
        if len(self._values) + len(self._histograms) < MAX_SERIES:
            return True
        if not self._complained:
            self._complained = True
            log.warning(
                "Metric %s has %d combinations of label values; no more are kept",
                self.declared.name,
                MAX_SERIES,
                extra={"event": "metric_series_limit"},
            )
        return False

    def text(self, names: Collection[str] = ()) -> Iterator[str]:
        """Returns the lines; with ``names`` only samples of these, or nothing if there are none."""
        samples = [f"{name}{labels} {number(value)}\n" for name, labels, value in self._samples(names)]
        if samples or not names:
            declared = self.declared
            unit = declared.unit.replace("\\", "\\\\").replace("\n", "\\n")  # a handler may have chosen this name
            yield f"# HELP {declared.name} Torchserve prometheus {declared.type} metric with unit: {unit}\n"
            yield f"# TYPE {declared.name} {declared.type}\n"
            yield from samples

    def _samples(self, names: Collection[str]) -> Iterator[tuple[str, str, float]]:
        name, label_names = self.declared.name, self.declared.labels
        if not names or name in names:
            for labels, value in self._values.items():
                yield name, _braces(label_names, labels), value
        for labels, histogram in self._histograms.items():
            for suffix, label, value in _parts(histogram):
                if not names or name + suffix in names:
                    yield name + suffix, _braces((*label_names, *label[:1]), (*labels, *label[1:])), value


def _parts(histogram: Histogram) -> Iterator[tuple[str, tuple[str, ...], float]]:
    count = 0
    for bound, more in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
        count += more
        yield "_bucket", ("le", number(bound)), count
    yield "_count", (), count
    yield "_sum", (), histogram.total


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    return "{" + "".join(f'{name}="{escaped(value)}",' for name, value in zip(names, values, strict=True)) + "}"


def escaped(value: str) -> str:
    return value.translate(_ESCAPES)


def number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
