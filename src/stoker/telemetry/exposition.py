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
"""Suffix of the family's name, label set in braces, value."""

Family = tuple[str, str, str, Iterable[Sample]]
"""Name, type, meaning, samples."""

Counted = Sequence[tuple[ModelKey, ModelCounters]]

_HISTOGRAMS: Sequence[tuple[str, str, Callable[[ModelCounters], Histogram]]] = (
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


def text(
    counted: Counted,
    figures: Iterable[ModelFigures],
    names: Collection[str] = (),
    workflows: Mapping[str, WorkflowCounters] = MappingProxyType({}),
) -> Iterator[str]:
    """Returns the text. ``names``: only samples with these exact names. ``workflows``: by name; without any, their
    families are left out."""
    families = _families(counted, list(figures))
    for name, kind, meaning, samples in chain(families, _of_workflows(workflows) if workflows else ()):
        lines = [
            f"{name}{suffix}{labels} {_number(value)}\n"
            for suffix, labels, value in samples
            if not names or name + suffix in names
        ]
        if lines or not names:
            yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
            yield from lines


def _families(counted: Counted, figures: Sequence[ModelFigures]) -> Iterator[Family]:
    for name, meaning, histogram_of in _HISTOGRAMS:
        yield name, "histogram", meaning, _histograms(counted, histogram_of)
    outcomes = (
        ("", _labels(key, outcome=outcome), count)
        for key, counters in counted
        for outcome, count in (
            ("answered", counters.latency.count),
            ("failed", counters.failed),
            ("cancelled", counters.cancelled),
            ("refused", counters.refused),
        )
    )
    yield "stoker_requests_total", "counter", "Requests for a registered model, by what became of them.", outcomes
    waiting = (("", _labels(each.key), each.waiting) for each in figures)
    yield "stoker_queue_depth", "gauge", "Requests that wait for a worker.", waiting
    states = (
        ("", _labels(each.key, state=state.lower()), count) for each in figures for state, count in each.workers.items()
    )
    yield "stoker_workers", "gauge", "Workers by state.", states
    if any(each.nodes for each in figures):
        nodes = (
            ("", _labels(each.key, node=node), count) for each in figures for node, count in sorted(each.nodes.items())
        )
        yield "stoker_node_workers", "gauge", "Ready workers by the node of the cluster that they are on.", nodes
    live = {each.key for each in figures}
    streams = (("", _labels(key), counters.streams) for key, counters in counted if key in live)
    yield "stoker_streams_in_flight", "gauge", "Streaming requests that are not over.", streams
    scaled = [each for each in figures if each.wanted is not None]
    if scaled:
        wanted = (("", _labels(each.key), each.wanted or 0) for each in scaled)
        yield "stoker_autoscale_workers", "gauge", "Workers that autoscaling wants.", wanted
        meaning = "How often autoscaling changed the number of workers since the model was registered."
        changes = (
            ("", _labels(each.key, change=change), count)
            for each in scaled
            for change, count in (each.changes or {}).items()
        )
        yield "stoker_autoscale_changes_total", "counter", meaning, changes


def _of_workflows(workflows: Mapping[str, WorkflowCounters]) -> Iterator[Family]:
    statuses = (
        ("", _label_set(workflow=name, status=status), count)
        for name, counters in workflows.items()
        for status, count in (("ok", counters.ok), ("failed", counters.failed), ("cancelled", counters.cancelled))
    )
    yield "ts_workflow_requests_total", "counter", "Requests of a workflow, by how they ended.", statuses
    meaning = "From the acceptance of a workflow's requests to their answers, in all."
    latencies = (
        ("", _label_set(workflow=name), round(counters.latency_s * 1e6, 3)) for name, counters in workflows.items()
    )
    yield "ts_workflow_latency_microseconds", "counter", meaning, latencies
    retries = (
        ("", _label_set(workflow=name, node=node), count)
        for name, counters in workflows.items()
        for node, count in counters.retries.items()
    )
    yield "ts_workflow_node_retries_total", "counter", "Attempts at a node of a workflow after the first.", retries


def _histograms(counted: Counted, histogram_of: Callable[[ModelCounters], Histogram]) -> Iterator[Sample]:
    for key, counters in counted:
        histogram, count = histogram_of(counters), 0
        for bound, more in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
            count += more
            yield "_bucket", _labels(key, le="+Inf" if math.isinf(bound) else repr(float(bound))), count
        yield "_sum", _labels(key), histogram.total
        yield "_count", _labels(key), count


def _labels(key: ModelKey, **more: str) -> str:
    return _label_set(model=key.name, version=key.version, **more)


def _label_set(**labels: str) -> str:
    return "{" + ",".join(f'{label}="{escaped(value)}"' for label, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(value)
