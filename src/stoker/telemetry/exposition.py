"""Writes stoker's own metrics, which TorchServe does not have, in Prometheus' text format."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from stoker.core.job import ModelKey
from stoker.core.measures import Histogram, ModelCounters, WorkflowCounters
from stoker.core.ports import ModelFigures
from stoker.telemetry.family import escaped

Sample = tuple[str, str, float]
"""Name, label set in braces, value."""

Family = tuple[str, str, str, Iterable[Sample]]
"""Name, type, meaning, samples."""

Counted = Sequence[tuple[ModelKey, ModelCounters]]

_HISTOGRAMS: tuple[tuple[str, str, Callable[[ModelCounters], Histogram]], ...] = (
    (
        "stoker_request_latency_seconds",
        "From the acceptance of a request to its answer, the last part of a stream.",
        lambda counters: counters.latency,
    ),
    (
        "stoker_queue_wait_seconds",
        "From the acceptance of an answered request to its dispatch to a worker.",
        lambda counters: counters.queue_wait,
    ),
    ("stoker_handler_time_seconds", "One call of the handler.", lambda counters: counters.handler_time),
    ("stoker_batch_size", "Requests in one call of the handler.", lambda counters: counters.batch_size),
)

_OUTCOMES: tuple[tuple[str, Callable[[ModelCounters], int]], ...] = (
    ("answered", lambda counters: counters.latency.count),
    ("failed", lambda counters: counters.failed),
    ("cancelled", lambda counters: counters.cancelled),
    ("refused", lambda counters: counters.refused),
)


_WORKFLOW_STATUSES: tuple[tuple[str, Callable[[WorkflowCounters], int]], ...] = (
    ("ok", lambda counters: counters.ok),
    ("failed", lambda counters: counters.failed),
    ("cancelled", lambda counters: counters.cancelled),
)


def text(
    counted: Counted,
    figures: Iterable[ModelFigures],
    names: Collection[str] = (),
    workflows: Mapping[str, WorkflowCounters] = MappingProxyType({}),
) -> Iterator[str]:
    """Returns the text. ``names``: only samples with these exact names. ``workflows``: by name; without any, nothing is
    said of them."""
    families = _families(counted, list(figures))
    for name, kind, meaning, samples in chain(families, _of_workflows(workflows) if workflows else ()):
        lines = [f"{sample}{labels} {_number(value)}\n" for sample, labels, value in samples if _wanted(sample, names)]
        if lines or not names:
            yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
            yield from lines


def _wanted(name: str, names: Collection[str]) -> bool:
    return not names or name in names


def _families(counted: Counted, figures: Sequence[ModelFigures]) -> Iterator[Family]:
    for name, meaning, histogram_of in _HISTOGRAMS:
        yield name, "histogram", meaning, _histograms(name, counted, histogram_of)
    yield (
        "stoker_requests_total",
        "counter",
        "Requests for a registered model, by what became of them.",
        [
            ("stoker_requests_total", _labels(key, f',outcome="{outcome}"'), count(counters))
            for key, counters in counted
            for outcome, count in _OUTCOMES
        ],
    )
    yield (
        "stoker_queue_depth",
        "gauge",
        "Requests that wait for a worker.",
        [("stoker_queue_depth", _labels(each.key), each.waiting) for each in figures],
    )
    yield (
        "stoker_workers",
        "gauge",
        "Workers by state.",
        [
            ("stoker_workers", _labels(each.key, f',state="{state.lower()}"'), count)
            for each in figures
            for state, count in each.workers.items()
        ],
    )
    placed = [each for each in figures if each.nodes]
    if placed:
        yield (
            "stoker_node_workers",
            "gauge",
            "Ready workers by the node of the cluster that they are on.",
            [
                ("stoker_node_workers", _labels(each.key, f',node="{escaped(node)}"'), count)
                for each in placed
                for node, count in sorted(each.nodes.items())
            ],
        )
    live = {each.key for each in figures}
    yield (
        "stoker_streams_in_flight",
        "gauge",
        "Streaming requests that are not over.",
        [("stoker_streams_in_flight", _labels(key), counters.streams) for key, counters in counted if key in live],
    )
    yield from _of_autoscaling([each for each in figures if each.wanted is not None])


def _of_autoscaling(figures: Sequence[ModelFigures]) -> Iterator[Family]:
    if not figures:
        return
    yield (
        "stoker_autoscale_workers",
        "gauge",
        "Workers that autoscaling wants.",
        [("stoker_autoscale_workers", _labels(each.key), each.wanted or 0) for each in figures],
    )
    yield (
        "stoker_autoscale_changes_total",
        "counter",
        "How often autoscaling changed the number of workers since the model was registered.",
        [
            ("stoker_autoscale_changes_total", _labels(each.key, f',change="{change}"'), count)
            for each in figures
            for change, count in (each.changes or {}).items()
        ],
    )


def _of_workflows(workflows: Mapping[str, WorkflowCounters]) -> Iterator[Family]:
    yield (
        "ts_workflow_requests_total",
        "counter",
        "Requests of a workflow, by how they ended.",
        [
            ("ts_workflow_requests_total", _workflow_labels(name, "status", status), count(counters))
            for name, counters in workflows.items()
            for status, count in _WORKFLOW_STATUSES
        ],
    )
    yield (
        "ts_workflow_latency_microseconds",
        "counter",
        "From the acceptance of a workflow's requests to their answers, in all.",
        [
            ("ts_workflow_latency_microseconds", _workflow_labels(name), round(counters.latency_s * 1e6, 3))
            for name, counters in workflows.items()
        ],
    )
    yield (
        "ts_workflow_node_retries_total",
        "counter",
        "Attempts at a node of a workflow after the first.",
        [
            ("ts_workflow_node_retries_total", _workflow_labels(name, "node", node), count)
            for name, counters in workflows.items()
            for node, count in counters.retries.items()
        ],
    )


def _workflow_labels(name: str, label: str = "", value: str = "") -> str:
    more = f',{label}="{escaped(value)}"' if label else ""
    return f'{{workflow="{escaped(name)}"{more}}}'


def _histograms(name: str, counted: Counted, histogram_of: Callable[[ModelCounters], Histogram]) -> Iterator[Sample]:
    for key, counters in counted:
        histogram, count = histogram_of(counters), 0
        for bound, more in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
            count += more
            yield f"{name}_bucket", _labels(key, f',le="{_bound(bound)}"'), count
        yield f"{name}_sum", _labels(key), histogram.total
        yield f"{name}_count", _labels(key), count


def _labels(key: ModelKey, more: str = "") -> str:
    return f'{{model="{escaped(key.name)}",version="{escaped(key.version)}"{more}}}'


def _bound(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else repr(float(bound))


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(value)
