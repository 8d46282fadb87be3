"""Generates and checks keys: bearer headers, expiry, the text of a key file. PURE.

Times are seconds of the monotonic clock: setting the wall clock neither revives nor expires a key.  Only the file has
wall-clock times; ``wall_offset`` is the difference between the two clocks.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from stoker.core.ports import TokenScope

KEY_BYTES = 32
"""Random bytes per generated key (43 characters encoded)."""

SHORTEST_SAFE = 22
"""Fewest characters of a key chosen by the operator: as many as 128 random bits need."""

_BEARER = re.compile(r"Bearer\s+(\S+)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Key:
    """A bearer token with its expiry. ``expires_at`` None: never."""

    secret: bytes = field(repr=False)
    expires_at: float | None = None

    def admits(self, presented: bytes, now: float) -> bool:
        """Tells whether ``presented`` is this key, and it has not expired; compares in constant time."""
        same = hmac.compare_digest(self.secret, presented)
        return same and (self.expires_at is None or now < self.expires_at)

    @property
    def is_short(self) -> bool:
        return len(self.secret) < SHORTEST_SAFE


NO_KEY = Key(b"", -math.inf)
"""A key that admits nobody."""


def new_key(expires_at: float | None = None) -> Key:
    return Key(secrets.token_urlsafe(KEY_BYTES).encode(), expires_at)


def presented_key(authorization: str | None) -> bytes:
    """Returns the key in ``Bearer KEY``; for anything else, empty, which no key admits."""
    found = _BEARER.fullmatch(authorization or "")
    return found[1].encode("utf-8", "replace") if found else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The three keys of a server. ``api`` replaces the other two, and never expires."""

    management: Key
    inference: Key
    api: Key

    @classmethod
    def new(cls, expires_at: float) -> Keyring:
        return cls(management=new_key(expires_at), inference=new_key(expires_at), api=new_key())

    def of(self, scope: TokenScope) -> Key:
        return self.management if scope is TokenScope.MANAGEMENT else self.inference

    def with_new(self, scope: TokenScope, expires_at: float) -> Keyring:
        return replace(self, **{scope.value: new_key(expires_at)})


def file_text(keys: Keyring, wall_offset: float) -> str:
    """Formats the keys as TorchServe does, because its clients look them up by these names."""

    def member(key: Key) -> dict[str, str]:
        return {"key": key.secret.decode()} | _expiration(key, wall_offset)

    content = {"management": member(keys.management), "inference": member(keys.inference), "API": member(keys.api)}
    return json.dumps(content, indent=2)


def _expiration(key: Key, wall_offset: float) -> dict[str, str]:
    if key.expires_at is None:
        return {}
    try:
        moment = _EPOCH + timedelta(seconds=key.expires_at + wall_offset)
    except OverflowError:
        return {"expiration time": "9999-12-31T23:59:59.999999Z"}
    return {"expiration time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def read_tokens(text: str, wall_offset: float) -> Mapping[TokenScope, Key]:
    """Reads an operator's file: in the format of the key file, or ``{"inference": KEY, "management": KEY}``.

    Raises: ValueError: its text completes a sentence about the file, and shows nothing of the content.
    """
    try:
        content = json.loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    return {
        scope: _read_member(scope.value, content[scope.value], wall_offset)
        for scope in TokenScope
        if scope.value in content
    }


def _read_member(name: str, member: Any, wall_offset: float) -> Key:
    if not isinstance(member, dict):
        return fixed_key(name, member)
    key = fixed_key(name, member.get("key"))
    expiration = member.get("expiration time")
    return key if expiration is None else replace(key, expires_at=_moment(name, expiration) - wall_offset)


def fixed_key(name: str, secret: Any) -> Key:
    """Makes a fixed key. Raises ValueError if ``secret`` cannot be sent as a bearer token."""
    word = secret.strip() if isinstance(secret, str) else ""
    if not word or not word.isascii() or not word.isprintable() or " " in word:
        raise ValueError(f"the key of {name} is not a word of printable ASCII")
    return Key(word.encode())


def _moment(name: str, text: Any) -> float:
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"the expiration time of {name} is not an ISO date") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH).total_seconds()
