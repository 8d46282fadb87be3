"""Makes one-time tokens, and checks who may connect, and for what.  PURE.

Invariants: a token opens one connection, of one kind, for one worker; it is looked up by its public part, and its
secret part is compared in constant time.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from stoker.ipc.opening import TOKEN_BYTES, Kind

T = TypeVar("T")

_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    secret: bytes
    kind: Kind
    owner: T


class Tokens(Generic[T]):
    """``random``: returns as many random bytes as it is asked for."""

    def __init__(self, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random = random
        self._held: dict[bytes, _Held[T]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def make(self, kind: Kind, owner: T) -> bytes:
        token = self._random(TOKEN_BYTES)
        self._held[token[:_NAME_BYTES]] = _Held(token[_NAME_BYTES:], kind, owner)
        return token

    def use(self, kind: Kind, token: bytes) -> T | None:
        """Returns the token's owner, and forgets the token; None: it is unknown, or for another kind of connection."""
        held = self._held.get(token[:_NAME_BYTES])
        if held is None or not hmac.compare_digest(held.secret, token[_NAME_BYTES:]) or held.kind is not kind:
            return None
        del self._held[token[:_NAME_BYTES]]
        return held.owner

    def discard(self, token: bytes) -> None:
        self._held.pop(token[:_NAME_BYTES], None)
