"""Which paths are predictions, and of what: TorchServe's own, SageMaker's, the legacy one, KServe's v1 and v2.  PURE.

A path is percent-decoded before it is split, as in TorchServe.  Any method predicts, but for OPTIONS, which describes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

_NOT_LEGACY = frozenset({"", "api-description", "metrics", "ping", "token", "wfpredict", "workflows"})
_LONGEST_KEPT = 256

PREDICT: Mapping[str, str] = {"explain": "False"}
EXPLAIN: Mapping[str, str] = {"explain": "True"}


class Target(NamedTuple):
    """``model`` is empty where the request names it elsewhere. ``headers`` are the server's own words to the handler,
    ``query``: whether parameters of the query are data of the request."""

    model: str
    version: str | None = None
    headers: Mapping[str, str] = {}
    query: bool = False


def target_of(path: bytes) -> Target | None:
    """``path``: as in the request line, without the query. None: it is not a prediction."""
    return _kept(path) if len(path) <= _LONGEST_KEPT else _target(path)


def _target(path: bytes) -> Target | None:
    segments = unquote(path.decode("latin-1")).split("/")
    if len(segments) < 2 or segments[0]:
        return None
    if len(segments) > 2 and not segments[-1] and segments[1] not in ("predictions", "explanations"):
        segments.pop()  # a slash at the end
    first, rest = segments[1], segments[2:]
    family = _FAMILIES.get(first)
    return family(rest) if family is not None else _legacy(first, rest)


_kept = lru_cache(maxsize=1024)(_target)


def _invocations(rest: list[str]) -> Target | None:
    return None if rest else Target("", query=True)


def _invoke(rest: list[str]) -> Target | None:
    """/models/{model}/invoke"""
    return Target(rest[0], query=True) if len(rest) == 2 and rest[0] and rest[1] == "invoke" else None


def _torchserve(rest: list[str], headers: Mapping[str, str]) -> Target | None:
    if not rest or not rest[0]:
        return None
    version = rest[1] if len(rest) > 1 else ""
    return Target(rest[0], version or None, {**headers, "url_path": "/".join(rest[2:])})


def _kserve_v1(rest: list[str]) -> Target | None:
    """/v1/models/{model}:predict, or :explain"""
    if len(rest) != 2 or rest[0] != "models":
        return None
    model, colon, verb = rest[1].partition(":")
    if not model or not colon or verb not in ("predict", "explain"):
        return None
    return Target(model, headers=PREDICT if verb == "predict" else EXPLAIN)


def _kserve_v2(rest: list[str]) -> Target | None:
    """/v2/models/{model}/infer, or /explain"""
    if len(rest) != 3 or rest[0] != "models" or not rest[1] or rest[2] not in ("infer", "explain"):
        return None
    return Target(rest[1], headers=PREDICT if rest[2] == "infer" else EXPLAIN)


def _legacy(model: str, rest: list[str]) -> Target | None:
    """/{model}/predict, or /{model}/{version}/predict"""
    if model in _NOT_LEGACY or not rest or rest[-1] != "predict" or len(rest) > 2:
        return None
    return Target(model, rest[0] if len(rest) == 2 else None, query=True)


_FAMILIES: Mapping[str, Callable[[list[str]], Target | None]] = {
    "predictions": lambda rest: _torchserve(rest, PREDICT),
    "explanations": lambda rest: _torchserve(rest, EXPLAIN),
    "invocations": _invocations,
    "models": _invoke,
    "v1": _kserve_v1,
    "v2": _kserve_v2,
}
"""By the first segment; any other may be a model's name in a legacy path."""
