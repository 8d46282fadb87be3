"""Listens for agents and workers on other machines, each of which connects with a one-time token.

Invariants: nothing beyond the opening is read until the token has been checked; connections that have not shown one are
limited in number, bytes and time, and a new one replaces the oldest; only their count is logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from stoker.archive.bundle import Bundle
from stoker.errors import BindError
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import FrameError
from stoker.ipc.opening import Kind, encode_welcome
from stoker.pool.remote.certificates import BorderTls
from stoker.pool.remote.expected_worker import ExpectedWorker
from stoker.pool.remote.fetching import Fetches
from stoker.pool.remote.opening import identify
from stoker.pool.remote.tokens import Tokens

log = logging.getLogger(__name__)

MOST_UNKNOWN = 256
"""Limit of connections that have not shown a token yet."""

_BACKLOG = 256
_ACCEPTS_PER_TURN = 16
_NO_FILES_PAUSE_S = 0.5
_REPORT_PAUSE_S = 60.0


class Border:
    """``host``, ``port``: where to listen; port 0: any. ``advertise``: the host that nodes connect to, if it differs.

    ``tls``: None: plain TCP, for trusted networks. ``heartbeat_s``, ``silence_s``: see `node.order.Order`.
    """

    def __init__(
        self,
        host: str,
        port: int = 0,
        *,
        advertise: str | None = None,
        tls: BorderTls | None = None,
        heartbeat_s: float = 2.0,
        silence_s: float = 8.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._port = port
        self._advertise = advertise or host
        self._tls = tls
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._monotonic = monotonic
        self._tokens: Tokens[ExpectedWorker] = Tokens()
        self._listener: socket.socket | None = None
        self._unknown: dict[asyncio.Task[bool], None] = {}  # the oldest first
        self._fetches = Fetches()
        self._refused = 0
        self._reported_at = -_REPORT_PAUSE_S
        self._paused: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """Returns the port in use, once started."""
        return self._port

    async def start(self) -> None:
        """Raises `BindError`."""
        try:
            family, kind, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
            self._listener = listener = socket.socket(family, kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            await self.close()
            raise BindError(address=f"{self._host}:{self._port}", reason=error.strerror or str(error)) from None
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        self._accept_again()

    def expect(self, name: str, *, bundle: Bundle | None = None) -> ExpectedWorker:
        """Makes the tokens of one worker. Call it once a node was chosen: its agent must connect within a minute."""
        tls = self._tls
        at: dict[str, Any] = {
            "host": self._advertise,
            "port": self._port,
            "ca": None if tls is None else tls.ca,
            "tls_name": "" if tls is None else tls.name,
        }
        return ExpectedWorker(
            name, self._tokens, at=at, bundle=bundle, heartbeat_s=self._heartbeat_s, silence_s=self._silence_s
        )

    async def close(self) -> None:
        """Closes the listener and all connections that have not shown a token. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            if listener.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        if self._paused is not None:
            self._paused.cancel()
        for task in list(self._unknown):
            task.cancel()
        await asyncio.gather(*self._unknown, return_exceptions=True)
        self._fetches.close()

    # ------------------------------------------------------------------------------------------ connections

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if self._listener is None:
                return
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError:  # too many open files: retry later
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener.fileno())
                self._paused = loop.call_later(_NO_FILES_PAUSE_S, self._accept_again)
                return
            self._authenticate(sock)

    def _authenticate(self, sock: socket.socket) -> None:
        if len(self._unknown) >= MOST_UNKNOWN:
            oldest = next(iter(self._unknown))
            del self._unknown[oldest]
            oldest.cancel()
        task = asyncio.get_running_loop().create_task(self._open(sock))
        self._unknown[task] = None
        task.add_done_callback(partial(self._authenticated, sock))

    def _authenticated(self, sock: socket.socket, task: asyncio.Task[bool]) -> None:
        """Closes a connection that was refused, or whose task was cancelled, perhaps before it ran."""
        self._unknown.pop(task, None)
        if task.cancelled() or not task.result():
            sock.close()

    async def _open(self, sock: socket.socket) -> bool:
        """Returns whether the connection has an owner now."""
        try:
            stream, kind, token = await identify(sock, None if self._tls is None else self._tls.context)
            expected = self._tokens.use(kind, token)
            if expected is None:
                raise FrameError("no such token")
            stream.sendall(encode_welcome(self._monotonic()))
        except (OSError, FrameError, asyncio.TimeoutError):
            self._report()
            return False
        self._admit(kind, stream, expected)
        return True

    def _admit(self, kind: Kind, stream: Stream, expected: ExpectedWorker) -> None:
        if kind is not Kind.FETCH:
            expected.connected(kind, stream)
        elif expected.bundle is not None:
            self._fetches.begin(expected.bundle, stream)

    def _report(self) -> None:
        """Logs the number of refused connections, at most once a minute."""
        self._refused += 1
        now = self._monotonic()
        if now - self._reported_at >= _REPORT_PAUSE_S:
            log.warning(
                "Refused connections to the border for remote workers, for lack of a valid token: %d",
                self._refused,
                extra={"event": "border_refused", "count": self._refused},
            )
            self._reported_at, self._refused = now, 0
