"""One call as a method sees it, whatever engine carries it.

An engine makes a subclass of `Call`, which says how answers leave; `OpenCalls.begin` hands it to the method.

Laws: a method is a plain function that starts the work and returns; it answers through the call, then or later, on
the event loop.  Exactly one end is sent: `respond`, `finish`, `fail`, `refuse`, or the client leaves (`cancelled`).
Whatever comes after it is ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from stoker.frontend.grpc.status import CANCELLED, DEADLINE_EXCEEDED, OK, Status, StatusOf

if TYPE_CHECKING:
    from stoker.frontend.grpc.open_calls import OpenCalls

Metadata = Sequence[tuple[str, str | bytes]]
Trailing = Sequence[tuple[str, str]]


class Kind(Enum):
    UNARY = "unary"
    STREAM = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """``path`` is ``/package.Service/Name``. ``status_of`` is the service's table from errors to codes.

    ``while_draining``: still answered when the server drains, and not waited for then (health).  ``dense``: a stream of
    many parts, which an engine may carry by a way that packs them.
    """

    path: str
    kind: Kind
    handle: Callable[[Call], None]
    status_of: StatusOf
    while_draining: bool = False
    dense: bool = False
    label: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"gRPC {self.path[1:]} HTTP/2.0")

    @property
    def service(self) -> str:
        return self.path[1:].rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Call:
    """``deadline`` is in seconds of the monotonic clock. ``key`` is the engine's own name of the call.

    A method may set ``on_cancel`` (the client left; nothing can be answered any more) and, for streams,
    ``on_writable`` (there is room again after `send` said there was none).
    """

    __slots__ = (
        "_open_calls",
        "blocked_since",
        "deadline",
        "ended",
        "key",
        "metadata",
        "method",
        "on_cancel",
        "on_writable",
        "peer",
        "request",
        "started_at",
        "writable",
    )

    def __init__(
        self,
        open_calls: OpenCalls,
        method: Method,
        key: int,
        request: bytes,
        metadata: Metadata,
        peer: str,
        time_remaining: float | None,
    ) -> None:
        self._open_calls = open_calls
        self.method = method
        self.key = key
        self.request = request
        self.metadata = metadata
        self.peer = peer
        self.started_at = time.monotonic()
        self.deadline = None if time_remaining is None else self.started_at + time_remaining
        self.on_cancel: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.writable = True
        self.blocked_since = 0.0
        self.ended = False

    # ------------------------------------------------------------------------------------ for methods

    def respond(self, payload: bytes, trailing: Trailing = ()) -> None:
        """The answer of a unary call."""
        if self._end(OK):
            self._answer(payload, trailing)

    def send(self, payload: bytes) -> bool:
        """One message of a stream; it is always taken. False: no other before ``on_writable``."""
        if self.ended:
            return False
        self.writable = self._write(payload)
        if not self.writable and not self.ended:
            self._open_calls.blocked(self)
        return self.writable

    def finish(self, trailing: Trailing = ()) -> None:
        """The good end of a stream."""
        if self._end(OK):
            self._finish(trailing)

    def fail(self, error: Exception) -> None:
        self.refuse(self.method.status_of(error))

    def refuse(self, status: Status) -> None:
        if self._end(status.code):
            self._refuse(status)

    # ------------------------------------------------------------------------------------ for engines

    def cancelled(self) -> None:
        """The client left, or its deadline passed."""
        callback = self.on_cancel
        late = self.deadline is not None and time.monotonic() >= self.deadline
        if self._end(DEADLINE_EXCEEDED if late else CANCELLED) and callback is not None:
            callback()

    def became_writable(self) -> None:
        self.writable = True
        try:
            if self.on_writable is not None:
                self.on_writable()
        except Exception as error:
            self.abandon(error)

    def abandon(self, error: Exception) -> None:
        """The server gives the call up: the work behind it is cancelled and the client told why."""
        callback = self.on_cancel
        if self.ended:
            return
        self.fail(error)
        if callback is not None:
            callback()

    def _end(self, code: int) -> bool:
        """Whether this was the one end."""
        if self.ended:
            return False
        self.ended = True
        self.on_cancel = self.on_writable = None  # they hold what holds this call
        self._open_calls.end(self, code)
        return True

    # ------------------------------------------------------------------------- what engines implement

    def _answer(self, payload: bytes, trailing: Trailing) -> None:
        raise NotImplementedError

    def _write(self, payload: bytes) -> bool:
        """Takes the payload; whether there is room for another."""
        raise NotImplementedError

    def _finish(self, trailing: Trailing) -> None:
        """Ends the stream after all that was written."""
        raise NotImplementedError

    def _refuse(self, status: Status) -> None:
        """Ends the call: after all that was written if the call is writable, else at once, and the rest is lost."""
        raise NotImplementedError


@lru_cache(maxsize=1024)
def readable_peer(peer: str) -> str:
    """``ipv4:127.0.0.1:5`` as ``127.0.0.1:5``, ``ipv6:%5B::1%5D:5`` as ``[::1]:5``; a Unix socket as ``unix``."""
    family, _, address = peer.partition(":")
    if family == "unix":
        return "unix"
    return address.replace("%5B", "[").replace("%5D", "]")
