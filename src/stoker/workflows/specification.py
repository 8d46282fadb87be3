"""Parses the specification of a workflow: YAML in, a graph out.  PURE.

Keys, defaults and the errors about a wrong graph are TorchServe's.  Where TorchServe fails with a Java exception, the
error says what is wrong.  A key without effect causes a warning, and the workflow is served.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stoker.archive.names import shown
from stoker.archive.workflow_manifest import check_name
from stoker.config import yaml_file
from stoker.config.model_keys import MAX_WORKERS
from stoker.errors import InvalidArchive, InvalidWorkflow
from stoker.workflows.graph import Graph, Node, Serving

MAX_NODES = 256

_MAX_WARNINGS = 20
_LARGEST = 2**31 - 1
_TYPES = {dict: "a map", list: "a list", int: "a larger number"}
_FUNCTION = Serving(max_batch_delay_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """``serving``: values for all nodes. ``dag``: the edges as written, for descriptions. ``warnings``: sentences."""

    graph: Graph
    serving: Serving
    dag: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()


def parse(content: bytes, *, name: str, has_handler: bool) -> Specification:
    """Parses the specification file ``name``. ``has_handler``: the archive has functions. Raises InvalidWorkflow,
    InvalidGraph."""
    try:
        data = yaml_file.parse(content, name=name)
    except InvalidArchive as error:
        raise InvalidWorkflow(f"Failed to parse yaml. {error.message}") from None
    return _Reader(has_handler).read(data)


# ------------------------------------------------------------------------------------------------- keys


def _whole(least: int, most: int = _LARGEST) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:  # a bool does not count as a number
            limit = f" of at least {least}" if most == _LARGEST else f" from {least} to {most}"
            raise ValueError(f"a whole number{limit}")
        return value

    return convert


def _archive_default(number: int, convert: Callable[[Any], int]) -> Callable[[Any], int | None]:
    """Makes ``number`` stand for the value in the model's archive."""
    return lambda value: None if type(value) is int and value == number else convert(value)


def _seconds(convert: Callable[[Any], int | None]) -> Callable[[Any], float | None]:
    def seconds(value: Any) -> float | None:
        milliseconds = convert(value)
        return None if milliseconds is None else milliseconds / 1000

    return seconds


def _url(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("the name or the URL of a model archive")
    return value.strip()


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


@dataclass(frozen=True, slots=True)
class _Key:
    """``convert`` raises ValueError with what was expected."""

    field: str
    convert: Callable[[Any], Any]


_GLOBAL_KEYS = {
    "min-workers": _Key("min_workers", _whole(0, MAX_WORKERS)),
    "max-workers": _Key("max_workers", _whole(0, MAX_WORKERS)),
    "batch-size": _Key("batch_size", _archive_default(-1, _whole(1))),
    "max-batch-delay": _Key("max_batch_delay_s", _seconds(_archive_default(-100, _whole(0)))),
    "retry-attempts": _Key("retry_attempts", _whole(0)),
    "timeout-ms": _Key("timeout_s", _seconds(_whole(1))),
}
_NODE_KEYS = {**_GLOBAL_KEYS, "url": _Key("url", _url), "decode": _Key("decode", _boolean)}
_SECTIONS = ("models", "dag")


# ---------------------------------------------------------------------------------------------- reading


class _Reader:
    """Reads one specification."""

    def __init__(self, has_handler: bool) -> None:
        self._has_handler = has_handler
        self._warnings: list[str] = []

    def read(self, data: Any) -> Specification:
        top = _map(data, "the content")
        self._warn_unknown((key for key in top if key not in _SECTIONS), "", _SECTIONS)
        models = _map(top.get("models"), "models")
        dag = _edges(_map(top.get("dag"), "dag"))
        names = _names(dag)
        own = self._models(models, names)
        values = _values(models, _GLOBAL_KEYS, "models")
        serving = self._reconciled(replace(Serving(), **values), values, "models")
        nodes = [self._node(name, own.get(name), serving, values) for name in names]
        return Specification(
            graph=Graph.build(nodes, ((name, next_one) for name, following in dag.items() for next_one in following)),
            serving=serving,
            dag=dag,
            warnings=tuple(self._warnings),
        )

    def _models(self, models: Mapping[Any, Any], names: Iterable[str]) -> dict[str, Mapping[Any, Any]]:
        """Returns the entries of the nodes. Other entries are neither used nor checked."""
        used = set(names)
        for key in models:
            if key in used or key in _GLOBAL_KEYS:
                continue
            if isinstance(models[key], dict):
                self._warn(f"models.{_shown(key)} is not in dag and has no effect")
            else:
                self._warn_unknown([key], "models.", _GLOBAL_KEYS)
        entries = models.keys() - _GLOBAL_KEYS.keys()
        return {name: _map(models[name], f"models.{name}") for name in names if name in entries}

    def _node(self, name: str, entry: Mapping[Any, Any] | None, serving: Serving, globals_: Mapping[str, Any]) -> Node:
        where, entry = f"models.{name}", entry or {}
        self._warn_unknown((key for key in entry if key not in _NODE_KEYS), f"{where}.", _NODE_KEYS)
        own = _values(entry, _NODE_KEYS, where)
        url, decode = own.pop("url", None), own.pop("decode", False)
        if url is None and not self._has_handler:
            raise _invalid(f"node {name} has no url, and the archive has no handler file with a function of that name")
        if url is None:  # only its own entry can say how many rows and workers a function supports
            serving = replace(_FUNCTION, retry_attempts=serving.retry_attempts, timeout_s=serving.timeout_s)
            globals_ = {}
        serving = self._reconciled(replace(serving, **own), {**globals_, **own}, where)
        return Node(name=name, url=url, serving=serving, decode=decode)

    def _reconciled(self, serving: Serving, given: Mapping[str, Any], where: str) -> Serving:
        """Lowers ``min_workers`` to ``max_workers``; raises ``max_workers`` instead if it was not given."""
        least, most = serving.min_workers, serving.max_workers
        if least <= most:
            return serving
        if "max_workers" not in given:
            return replace(serving, max_workers=least)
        if "min_workers" in given:
            self._warn(f"{where}: min-workers ({least}) is more than max-workers ({most}), which takes precedence")
        return replace(serving, min_workers=most)

    def _warn_unknown(self, keys: Iterable[Any], where: str, known: Iterable[str]) -> None:
        known = list(known)
        for key in keys:
            if len(self._warnings) > _MAX_WARNINGS:
                return
            near = difflib.get_close_matches(_shown(key).replace("_", "-"), known, n=1, cutoff=0.75)
            hint = f"; did you mean {near[0]}?" if near else ""
            self._warn(f"{where}{_shown(key)} is unknown and has no effect{hint}")

    def _warn(self, text: str) -> None:
        if len(self._warnings) <= _MAX_WARNINGS:
            self._warnings.append(text if len(self._warnings) < _MAX_WARNINGS else "there are more warnings")


def _values(entry: Mapping[Any, Any], keys: Mapping[str, _Key], where: str) -> dict[str, Any]:
    return {key.field: _value(entry[name], key, f"{where}.{name}") for name, key in keys.items() if name in entry}


def _value(value: Any, key: _Key, where: str) -> Any:
    try:
        return key.convert(value)
    except ValueError as error:
        raise _invalid(f"{where} must be {error}, not {_shown(value)}") from None


def _edges(dag: Mapping[Any, Any]) -> dict[str, tuple[str, ...]]:
    """Checks types, names and number of the nodes. As in TorchServe, ``['']`` means no next node."""
    edges = {_node_name(name): _next_nodes(name, after) for name, after in dag.items()}
    if (count := len(_names(edges))) > MAX_NODES:
        raise _invalid(f"dag has {count} nodes; the limit is {MAX_NODES}")
    return edges


def _next_nodes(name: str, after: Any) -> tuple[str, ...]:
    if not isinstance(after, list):
        raise _invalid(f"dag.{name} must be a list of the next nodes, not {_shown(after)}")
    return tuple(_node_name(one) for one in after if one != "")


def _node_name(name: Any) -> str:
    if not isinstance(name, str):
        raise _invalid(f"the name of a node must be text, not {_shown(name)}; YAML needs quotes around such a name")
    try:
        check_name("Node", name)
    except InvalidWorkflow as error:
        raise _invalid(error.message) from None
    return name


def _names(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns all nodes in the order in which dag first names them."""
    found: dict[str, None] = {}
    for name, after in edges.items():
        found.update(dict.fromkeys([name, *after]))
    return list(found)


def _map(value: Any, what: str) -> Mapping[Any, Any]:
    if value is None:
        raise _invalid(f"{what} is missing or empty")
    if not isinstance(value, dict):
        raise _invalid(f"{what} must be a map, not {_shown(value)}")
    return value


def _invalid(what: str) -> InvalidWorkflow:
    return InvalidWorkflow(f"Invalid workflow specification: {what}")


def _shown(value: Any) -> str:
    """Makes a value safe for messages. Names only the type of a map or list, which YAML aliases can make endless."""
    if isinstance(value, str):
        return shown(value) or "''"
    if isinstance(value, (bool, float)) or value is None or (isinstance(value, int) and abs(value) <= _LARGEST):
        return str(value)
    return _TYPES.get(type(value), f"a {type(value).__name__}")
