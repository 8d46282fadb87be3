"""Recognizes paths of predictions: TorchServe's, SageMaker's, KServe's (v1, v2), legacy ones and workflows'. PURE.

As in TorchServe, a path is percent-decoded before it is split.  Any method predicts, except OPTIONS, which describes a
model's predictions, and predicts with a workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import unquote

from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.workflows import PREFIX
from stoker.frontend.http.bodies import Inputs

_NOT_LEGACY = frozenset({"", "api-description", "metrics", "ping", "token", "wfpredict", "workflows"})
_WFPREDICT = "wfpredict"
_LONGEST_CACHED = 256

PREDICT: Mapping[str, str] = {"explain": "False"}
EXPLAIN: Mapping[str, str] = {"explain": "True"}


class Target(Struct, frozen=True):
    """``model``: empty if the request names it elsewhere.

    ``headers``: set by the server for the handler. ``query``: query parameters are data of the request.
    ``any_method``: OPTIONS predicts too.
    ``alone``: the request is a batch of its own, because handlers look only at a batch's first row for ``explain``.
    ``tensors``: the path takes requests of the open inference protocol; ``only_tensors``: and no others.
    """

    model: str
    version: str | None = None
    headers: Mapping[str, str] = {}
    query: bool = False
    any_method: bool = False
    alone: bool = False
    tensors: bool = False
    only_tensors: bool = False


def target_of(path: bytes) -> Target | None:
    """Parses a path. ``path``: as in the request line, without the query. None: not a prediction."""
    return _cached_target(path) if len(path) <= _LONGEST_CACHED else _target(path)


def _target(path: bytes) -> Target | None:
    segments = unquote(path.decode("latin-1")).split("/")
    if len(segments) < 2 or segments[0]:
        return None
    if len(segments) > 2 and not segments[-1] and segments[1] not in ("predictions", "explanations"):
        segments.pop()  # a slash at the end
    first, rest = segments[1], segments[2:]
    family = _FAMILIES.get(first) or (_workflow if first.lower() == _WFPREDICT else None)
    return family(rest) if family is not None else _legacy(first, rest)


_cached_target = lru_cache(maxsize=1024)(_target)


def _invocations(rest: list[str]) -> Target | None:
    return None if rest else Target("", query=True)


def _invoke(rest: list[str]) -> Target | None:
    """Parses /models/{model}/invoke."""
    return Target(rest[0], query=True) if len(rest) == 2 and rest[0] and rest[1] == "invoke" else None


def _torchserve(rest: list[str], headers: Mapping[str, str]) -> Target | None:
    if not rest or not rest[0]:
        return None
    version = rest[1] if len(rest) > 1 else ""
    shown = {**headers, "url_path": "/".join(rest[2:])}
    return Target(rest[0], version or None, shown, alone=headers is EXPLAIN)


def _kserve_v1(rest: list[str]) -> Target | None:
    """Parses /v1/models/{model}:predict, or :explain."""
    if len(rest) != 2 or rest[0] != "models":
        return None
    model, colon, verb = rest[1].partition(":")
    if not model or not colon or verb not in ("predict", "explain"):
        return None
    predict = verb == "predict"
    return Target(model, headers=PREDICT if predict else EXPLAIN, alone=not predict)


def _kserve_v2(rest: list[str]) -> Target | None:
    """Parses /v2/models/{model}/infer, or /explain, or /v2/models/{model}/versions/{version}/infer."""
    if len(rest) == 5 and rest[0] == "models" and rest[1] and rest[2] == "versions" and rest[4] == "infer":
        return Target(rest[1], rest[3], headers=PREDICT, tensors=True, only_tensors=True)
    if len(rest) != 3 or rest[0] != "models" or not rest[1] or rest[2] not in ("infer", "explain"):
        return None
    infer = rest[2] == "infer"
    return Target(rest[1], headers=PREDICT if infer else EXPLAIN, tensors=infer, alone=not infer)


def openai_target(path: bytes, model: str) -> Target | None:
    """Parses a path of OpenAI's API. ``path``: one that `target_of` does not recognize. ``model``: the model that
    answers, as NAME or NAME/VERSION."""
    text = unquote(path.decode("latin-1")).rstrip("/")
    if not text.startswith("/v1/") or text.startswith("/v1/models/"):  # the latter are KServe's
        return None
    name, _, version = model.partition("/")
    return Target(name, version or None, {**PREDICT, "url_path": text[1:]})


def _workflow(rest: list[str]) -> Target | None:
    """Parses /wfpredict/{workflow}, the first word in any case; what follows is ignored."""
    return Target(PREFIX + rest[0], any_method=True) if rest and rest[0] else None


def _legacy(model: str, rest: list[str]) -> Target | None:
    """Parses /{model}/predict, or /{model}/{version}/predict."""
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
"""Parsers by first segment; in a legacy path, any other segment may be a model's name."""


class Route(Struct, frozen=True):
    """A prediction's head, interpreted. ``headers``: for the handler. ``read``: reads the body; raises BadRequest.
    ``events``: the client accepts Server-Sent Events."""

    target: Target
    headers: Mapping[str, str]
    read: Callable[[Buffer], Inputs]
    events: bool
