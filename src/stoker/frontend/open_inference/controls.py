"""Reads the request parameters that are for the server; the others are for the handler. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.core.sequences import TRUE, Membership, SequenceNames, membership
from stoker.core.tensors import NONE, Parameters
from stoker.errors import BadRequest

EMPTY_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"
_RESERVED = ("sequence_", "triton_", "binary_data")
_RESERVED_NAMES = frozenset({"priority", "timeout"})
_KINDS: Mapping[str, tuple[frozenset[type], str]] = {
    "sequence_id": (frozenset({int, str}), "neither a string nor a whole number"),
    "sequence_start": (frozenset({bool}), "not a boolean"),
    "sequence_end": (frozenset({bool}), "not a boolean"),
    EMPTY_FINAL: (frozenset({bool}), "not a boolean"),
}
_SEQUENCE_HEADERS = {
    "sequence_id": "ts_request_sequence_id",
    "sequence_start": "ts_request_sequence_start",
    "sequence_end": "ts_request_sequence_end",
}


def check_kinds(parameters: Parameters) -> None:
    """Raises BadRequest: a parameter for the server has a value of the wrong type."""
    for name in _KINDS.keys() & parameters.keys():
        kinds, what = _KINDS[name]
        if type(parameters[name]) not in kinds:
            raise BadRequest(f"The parameter '{name}' is {what}.")


def for_handler(parameters: Parameters) -> Parameters:
    if not parameters:
        return NONE
    return {
        name: value
        for name, value in parameters.items()
        if name not in _RESERVED_NAMES and not name.startswith(_RESERVED)
    }


def sequence(
    headers: Mapping[str, str] | None, parameters: Parameters
) -> tuple[Mapping[str, str] | None, Membership | None]:
    """Returns the headers, with those of the request's sequence added, and its membership. Raises BadRequest."""
    id = sequence_id(parameters)
    if not id:
        return headers, None
    found = {_SEQUENCE_HEADERS["sequence_id"]: id}
    for name in ("sequence_start", "sequence_end"):
        if parameters.get(name) is True:
            found[_SEQUENCE_HEADERS[name]] = TRUE
    return {**(headers or {}), **found}, membership(SequenceNames(), (), found)


def sequence_id(parameters: Parameters) -> str:
    """Returns the id; empty, as for an id of 0 or an empty string, if the request belongs to no sequence."""
    found = parameters.get("sequence_id") if parameters else None
    return str(found) if found else ""


def deadline(given: float | None, parameters: Parameters, now: float) -> float | None:
    """Returns the earlier of the client's deadline and that of the parameter ``timeout`` (microseconds; 0: none).

    Raises: BadRequest: the timeout is not a number, or negative
    """
    timeout = parameters.get("timeout") if parameters else None
    if timeout is None or timeout == "":
        return given
    try:
        if isinstance(timeout, bool):
            raise ValueError
        seconds = int(timeout) / 1e6
    except (ValueError, OverflowError):
        raise BadRequest("The parameter 'timeout' is not a number of microseconds.") from None
    if seconds < 0:
        raise BadRequest("The parameter 'timeout' is negative.")
    if not seconds:
        return given
    return now + seconds if given is None else min(given, now + seconds)
