"""`model-config.yaml` of an archive: what a model says about how it wants to be served.

A value of the wrong type is ignored with a warning, as in TorchServe; the whole document goes to the handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

_NOT_SERVED_YET = (
    "parallelType",
    "parallelLevel",
    "torchrun",
    "useJobTicket",
    "continuousBatching",
    "sequenceBatching",
    "asyncCommunication",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """``None`` means 'not given', or given in a way that is ignored. Times are seconds."""

    min_workers: int | None = None
    max_workers: int | None = None
    batch_size: int | None = None
    max_batch_delay_s: float | None = None
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    max_retry_timeout_s: float | None = None
    client_timeout_s: float | None = None
    job_queue_size: int | None = None
    device_type: str | None = None
    device_ids: tuple[int, ...] | None = None
    batching: str | None = None
    stream_batching: bool | None = None
    share_weights: bool | None = None
    not_served_yet: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> ModelConfig:
        """Raises InvalidArchive when the file cannot be read as YAML, or hides more than it shows."""
        from stoker.config.yaml_file import read  # noqa: PLC0415 - only some models have a config

        return cls.of(read(path), name=path.name)

    @classmethod
    def of(cls, document: Any, *, name: str = "model-config.yaml") -> ModelConfig:
        """From the parsed document. An empty one says nothing."""
        if not isinstance(document, dict):
            if document is not None:
                log.warning("%s is not a map of keys and was ignored", name)
            return cls()
        values = {key.field: _value(key, document, name) for key in _KEYS if key.name in document}
        waiting = tuple(key for key in _NOT_SERVED_YET if document.get(key))
        if waiting:
            log.warning("%s: %s not part of this version and ignored", name, _listed(waiting))
        return cls(**values, not_served_yet=waiting, raw=document)


# ------------------------------------------------------------------------------------ single values


class _Key(NamedTuple):
    name: str
    field: str
    convert: Callable[[Any], Any]


def _count(value: Any) -> int:
    return max(1, _whole(value))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("not a whole number")
    return value


def _positive(value: Any) -> int | None:
    return _whole(value) if _whole(value) > 0 else None


def _seconds(value: Any) -> float | None:
    whole = _positive(value)
    return None if whole is None else float(whole)


def _milliseconds(value: Any) -> float | None:
    whole = _positive(value)
    return None if whole is None else whole / 1000.0


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _word(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError(f"none of: {', '.join(words)}")
        return value.strip().lower()

    return convert


def _device_ids(value: Any) -> tuple[int, ...]:
    """One wrong number discards the whole list."""
    if not isinstance(value, list) or any(_whole(v) < 0 for v in value):
        raise ValueError("not a list of device numbers")
    return tuple(value)


_KEYS = (
    _Key("minWorkers", "min_workers", _count),
    _Key("maxWorkers", "max_workers", _positive),
    _Key("batchSize", "batch_size", _count),
    _Key("maxBatchDelay", "max_batch_delay_s", _milliseconds),
    _Key("responseTimeout", "response_timeout_s", _seconds),
    _Key("startupTimeout", "startup_timeout_s", _seconds),
    _Key("maxRetryTimeoutInSec", "max_retry_timeout_s", _seconds),
    _Key("clientTimeoutInMills", "client_timeout_s", _milliseconds),
    _Key("jobQueueSize", "job_queue_size", _positive),
    _Key("deviceType", "device_type", _word("cpu", "gpu")),
    _Key("deviceIds", "device_ids", _device_ids),
    _Key("batching", "batching", _word("adaptive", "fixed")),
    _Key("streamBatching", "stream_batching", _switch),
    _Key("shareWeights", "share_weights", _switch),
)


def _value(key: _Key, document: Mapping[str, Any], name: str) -> Any:
    try:
        return key.convert(document[key.name])
    except ValueError as error:
        log.warning("%s: %s was ignored: %s", name, key.name, error)
        return None


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words)} {'is' if len(words) == 1 else 'are'}"
