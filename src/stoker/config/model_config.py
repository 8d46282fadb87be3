"""`model-config.yaml` of an archive: what a model says about how it wants to be served.

Archives are not trusted: the text, its aliases and its nesting are bounded, and only plain data is built from it.
A value of the wrong type is ignored with a warning, as in TorchServe; the whole document goes to the handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stoker.errors import InvalidArchive

log = logging.getLogger(__name__)

_LARGEST_TEXT = 1 << 20
_MOST_VALUES = 100_000
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
        return cls.of(_read(path), name=path.name)

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


# ------------------------------------------------------------------------------------------ reading


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_TEXT + 1)
    except OSError as error:
        raise InvalidArchive(f"{path.name} cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST_TEXT:
        raise InvalidArchive(f"{path.name} is larger than {_LARGEST_TEXT >> 20} MiB")
    try:
        return _parse(content)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InvalidArchive(f"{path.name} is not valid YAML: {_place(error)}") from None
    except RecursionError:
        raise InvalidArchive(f"{path.name} is nested too deeply") from None


def _parse(content: bytes) -> Any:
    loader = yaml.SafeLoader(content)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Counts values with every alias spelled out: a short text of aliases to aliases can mean billions."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is None:
            sizes[id(node)] = _MOST_VALUES + 1  # for whoever comes back here: a value that contains itself
            known = sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
            if known > _MOST_VALUES:
                raise ValueError("its aliases mean too many values")
        return known

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _place(error: Exception) -> str:
    """The parser's words and the line, without its quote of the text."""
    if isinstance(error, yaml.MarkedYAMLError):
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        return f"{error.problem or error.context}{line}"
    return str(error).split("\n")[0][:200]
