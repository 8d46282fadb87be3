"""Reads the parameters of a management request from its query string or its JSON body. PURE.

As in TorchServe, an invalid number in a query string silently becomes its default, a flag is true only for the word
true in any case, and the first value of a repeated name counts.  A JSON body is strict: a value of the wrong kind is an
error that names the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import overload
from urllib.parse import parse_qsl

from stoker.core.text import shortened
from stoker.errors import BadRequest
from stoker.frontend.http import json_limits

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_JSON = "application/json"


class Parameters:
    """Values by name, as text. ``strict``: invalid values are errors instead of defaults."""

    __slots__ = ("_strict", "_values")

    def __init__(self, values: Mapping[str, str], *, strict: bool = False) -> None:
        self._values = values
        self._strict = strict

    def text(self, name: str) -> str | None:
        """Returns the text; None if it is missing or empty."""
        return self._values.get(name) or None

    def given(self, name: str) -> bool:
        return name in self._values

    @overload
    def whole(self, name: str) -> int | None: ...
    @overload
    def whole(self, name: str, default: int) -> int: ...
    def whole(self, name: str, default: int | None = None) -> int | None:
        """Returns a 32-bit number. Raises BadRequest: it is invalid, and the parameters are strict."""
        word = self._values.get(name)
        if word is None:
            return default
        if _WHOLE.fullmatch(word) and _LOWEST <= (number := int(word)) <= _HIGHEST:
            return number
        if self._strict:
            raise BadRequest(f"Parameter {name} is not a whole number.")
        return default

    def whole_unless(self, not_given: int, name: str) -> int | None:
        """Does as `whole`; None also for the number that stands for 'not given'."""
        number = self.whole(name)
        return None if number == not_given else number

    def flag(self, name: str, default: bool) -> bool:
        word = self._values.get(name)
        return default if word is None else word.lower() == "true"


def from_query(query: str) -> Parameters:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, value)
    return Parameters(values)


def from_request(query: str, content_type: str | None, body: bytes) -> Parameters:
    """Reads the request. A JSON body replaces the query string; an empty one does not.

    Raises: BadRequest: the body is not a JSON object, or a value in it is neither text, number nor flag.
    """
    if body and (content_type or "").partition(";")[0].strip().lower() == _JSON:
        return Parameters(_from_json(body), strict=True)
    return from_query(query)


def all_of(query: str, name: str) -> list[str]:
    """Returns every value of a repeated parameter."""
    return [value for key, value in parse_qsl(query, keep_blank_values=True) if key == name]


def _from_json(body: bytes) -> dict[str, str]:
    try:
        parsed = json_limits.parse(body)
    except (ValueError, RecursionError):
        raise BadRequest("The request body is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise BadRequest("The request body is not a JSON object.")
    return {name: _text(name, value) for name, value in parsed.items() if value is not None}


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (str, int)):
        return value if isinstance(value, str) else _digits(value)
    raise BadRequest(f"Parameter {shortened(name)} has a value of the wrong kind.")


def _digits(number: int) -> str:
    """Limits the digits to those a parameter may have: very long numbers cannot be formatted."""
    return str(number) if _LOWEST <= number <= _HIGHEST else "out of range"
