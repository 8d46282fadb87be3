"""Builds the answers to ListModels and DescribeModel, ready for JSON, with members in TorchServe's order.

Members that TorchServe does not have come last, and only if they have a value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from stoker.core.buffer import Buffer
from stoker.core.ports import QueueStatus, WorkerStatus
from stoker.core.sequences import SequenceLimits
from stoker.registry.entry import ModelEntry

MAX_PAGE = 100


def describe(entry: ModelEntry) -> dict[str, Any]:
    return {
        **_serving_options(entry),
        **_special_modes(entry),
        "loadedAtStartup": entry.spec.loaded_at_startup,
        "workers": [worker(status) for status in entry.pool.statuses()],
        "jobQueueStatus": queue(entry.scheduler.queue_status()),
        **_autoscaling(entry),
    }


def _autoscaling(entry: ModelEntry) -> dict[str, Any]:
    scaling, spec = entry.scaling, entry.spec
    if scaling is None:
        return {}
    unload = {"unloadAfterMs": _milliseconds(spec.unload_after_s)} if spec.unload_after_s else {}
    return {
        "autoscale": {
            "targetWaitMs": _milliseconds(spec.autoscale_target_wait_s),
            **unload,
            "workers": entry.target,
            "reason": scaling.reason,
            "since": utc(scaling.changed_at),
        }
    }


def _serving_options(entry: ModelEntry) -> dict[str, Any]:
    spec = entry.spec
    url = {"modelUrl": spec.url} if entry.unpacked is not None else {}  # functions of workflows have none
    return {
        "modelName": spec.key.name,
        "modelVersion": spec.key.version,
        **url,
        "runtime": spec.runtime,
        "minWorkers": entry.min_workers,
        "maxWorkers": entry.max_workers,
        "batchSize": spec.batch_size,
        "maxBatchDelay": _milliseconds(spec.max_batch_delay_s),
        "responseTimeout": _seconds(spec.response_timeout_s),
        "startupTimeout": _seconds(spec.startup_timeout_s),
        "maxRetryTimeoutInSec": _seconds(spec.max_retry_timeout_s),
        "clientTimeoutInMills": _milliseconds(spec.client_timeout_s),
    }


def _special_modes(entry: ModelEntry) -> dict[str, Any]:
    """Describes modes as they are served, whatever the archive asks for."""
    spec, yaml = entry.spec, entry.spec.yaml_config
    devices = {} if spec.device_ids is None else {"deviceIds": list(spec.device_ids)}
    kind = yaml.get("parallelType")
    return {
        "parallelType": kind if isinstance(kind, str) else "",
        "parallelLevel": _number(yaml, "parallelLevel", 0),
        "deviceType": spec.device_type or "cpu",
        **devices,
        "continuousBatching": spec.continuous,
        "useJobTicket": spec.job_tickets,
        "useVenv": spec.use_venv,
        **_sequences(spec.sequences, yaml),
    }


def _sequences(limits: SequenceLimits | None, yaml: Mapping[str, Any]) -> dict[str, Any]:
    if limits is None:
        names = ("sequenceMaxIdleMSec", "sequenceTimeoutMSec", "maxNumSequence", "maxSequenceJobQueueSize")
        return {"stateful": False, **{name: _number(yaml, name, 0) for name in names}}
    return {
        "stateful": True,
        "sequenceMaxIdleMSec": _milliseconds(limits.max_idle_s),
        "sequenceTimeoutMSec": _milliseconds(limits.max_life_s),
        "maxNumSequence": limits.most,
        "maxSequenceJobQueueSize": limits.waiting,
    }


def _number(yaml: Mapping[str, Any], key: str, default: int) -> int:
    value = yaml.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def worker(status: WorkerStatus) -> dict[str, Any]:
    """Describes a worker slot. ``status`` is one of TorchServe's two; ``state`` and ``failure`` add details."""
    started = {"startTime": utc(status.started_at)} if status.started_at else {}
    entry: dict[str, Any] = {
        "id": str(status.id),
        **started,
        "status": "READY" if status.ready else "UNLOADING",
        "memoryUsage": status.memory_bytes,
        "pid": -1 if status.pid is None else status.pid,
        "gpu": status.gpu_id is not None,
        "gpuUsage": status.gpu_usage or "N/A",
    }
    if not status.ready:
        entry["state"] = status.state
    if status.failure:
        entry["failure"] = status.failure
    if status.node:
        entry["node"] = status.node
    return entry


def queue(status: QueueStatus) -> dict[str, Any]:
    return {"remainingCapacity": status.remaining, "pendingRequests": status.pending}


def list_models(defaults: Sequence[ModelEntry], limit: int, offset: int) -> dict[str, Any]:
    """Returns one page of the default versions, without functions of workflows."""
    models = [{"modelName": e.key.name, "modelUrl": e.spec.url} for e in defaults if e.unpacked is not None]
    return page("models", models, limit, offset)


def page(name: str, entries: Sequence[Mapping[str, str]], limit: int, offset: int) -> dict[str, Any]:
    """Returns one page of a list. A limit outside of 0 to 100 means 100; a limit of 0 gives an empty, last page."""
    if limit == 0:
        return {name: []}
    if not 0 < limit <= MAX_PAGE:
        limit = MAX_PAGE
    start = max(0, offset)
    end = start + limit
    token = {"nextPageToken": str(end)} if end <= len(entries) else {}
    return {**token, name: list(entries[start:end])}


def customized_metadata(output: Buffer) -> dict[str, Any] | None:
    """Parses a handler's answer to a describe request. None: it is empty; an empty dict: it is not a JSON object."""
    text = bytes(output).strip()
    if text in (b"", b"null"):
        return None
    try:
        parsed = json.loads(text)
        json.dumps(parsed, indent=2, ensure_ascii=False, allow_nan=False).encode()  # as the frontends will
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def utc(seconds: float) -> str:
    """Formats seconds since 1970 as ``2026-01-31T12:00:00.123Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _seconds(seconds: float) -> int | float:
    """Drops the fraction of whole seconds, as TorchServe does."""
    return int(seconds) if seconds == int(seconds) else seconds
