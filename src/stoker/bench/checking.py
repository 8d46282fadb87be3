"""Checks what servers answer before, during and after each load, with payloads that all differ.

During a load, a slow side channel (a few requests a second) checks contents, so that a server that mixes up or caches
answers is caught under pressure.  Runs in the bench's own process, never in a server's.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from stoker.bench.contender import Running, Wire, WireRequest

Check = Callable[[bytes, list[bytes]], bool]
"""Tells whether the parts (one for a call that does not stream) are the right answer to the payload."""
PERIOD_S = 0.2
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # no back-off left over from the last attempt
]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Requests with known answers: ``payload(n)`` is the n-th payload, ``check`` knows its right answer."""

    payload: Callable[[int], bytes]
    check: Check
    stream: bool = False
    timeout_s: float = 10.0


@dataclass
class CheckedAnswers:
    """``asked``: the number of checked requests. ``wrong``: for each bad answer, what was wrong with it."""

    asked: int = 0
    wrong: list[str] = field(default_factory=list)

    def problem(self) -> str | None:
        return None if not self.wrong else f"{len(self.wrong)} of {self.asked} checked answers failed: {self.wrong[0]}"


class Client(Protocol):
    def ask(self, request: WireRequest, *, stream: bool, timeout_s: float) -> list[bytes]:
        """Returns the bodies of the response: the messages for gRPC, the one whole body for HTTP."""

    def close(self) -> None: ...


class GrpcClient:
    """``roots``: what signs the server's certificate; None: without TLS."""

    def __init__(self, endpoint: str, roots: bytes | None = None) -> None:
        if roots is None:
            self._channel = grpc.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.secure_channel(endpoint, credentials, options=_CHANNEL_OPTIONS)

    def ask(self, request: WireRequest, *, stream: bool, timeout_s: float) -> list[bytes]:
        if stream:
            return list(
                self._channel.unary_stream(request.path)(request.body, timeout=timeout_s, metadata=request.headers)
            )
        answer: bytes = self._channel.unary_unary(request.path)(
            request.body, timeout=timeout_s, metadata=request.headers
        )
        return [answer]

    def close(self) -> None:
        self._channel.close()


class HttpClient:
    """Opens a connection per request. ``roots``: what signs the server's certificate; None: without TLS."""

    def __init__(self, endpoint: str, roots: bytes | None = None) -> None:
        self._endpoint = endpoint
        self._context = None if roots is None else ssl.create_default_context(cadata=roots.decode())

    def ask(self, request: WireRequest, *, stream: bool, timeout_s: float) -> list[bytes]:
        connection = self._connection(timeout_s)
        try:
            connection.request("POST", request.path, request.body, dict(request.headers))
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}: {body[:200]!r}")
        return [body]

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._endpoint, timeout=timeout_s)
        return http.client.HTTPSConnection(self._endpoint, timeout=timeout_s, context=self._context)

    def close(self) -> None:
        """Does nothing: no connection is kept open."""


def client(wire: Wire, running: Running) -> Client:
    kind = HttpClient if wire.startswith("http") else GrpcClient
    return kind(running.endpoint, getattr(running, "roots", None))


class Checker:
    """Queries one server, one request at a time, from one thread at a time."""

    def __init__(self, running: Running, wire: Wire, probe: Probe) -> None:
        self._running = running
        self._wire = wire
        self._probe = probe
        self._number = 0

    def answer_bytes(self) -> int | None:
        """Returns the body size of every gRPC response, frames included; None if answers differ in size."""
        if self._wire.startswith("http"):
            return None
        asking = client(self._wire, self._running)
        try:
            sizes = {sum(map(framed_size, self._ask(asking, self._probe.payload(0)))) for _ in range(2)}
        except grpc.RpcError:
            return None  # the checks report what is wrong
        finally:
            asking.close()
        return sizes.pop() if len(sizes) == 1 else None

    def once(self) -> str | None:
        """Asks once; returns what was wrong with the answer, in a few words."""
        self._number += 1
        payload = self._probe.payload(self._number)
        asking = client(self._wire, self._running)
        try:
            parts = self._parts(self._ask(asking, payload))
            return None if self._probe.check(payload, parts) else f"wrong answer: {b' '.join(parts)[:80]!r}"
        except grpc.RpcError as error:
            return _short(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        finally:
            asking.close()

    def _ask(self, asking: Client, payload: bytes) -> list[bytes]:
        stream = self._probe.stream
        request = self._running.request(payload, stream=stream)
        return asking.ask(request, stream=stream, timeout_s=self._probe.timeout_s)

    def _parts(self, bodies: list[bytes]) -> list[bytes]:
        if self._probe.stream and self._wire.startswith("http"):
            return self._running.parts(bodies[0])
        return [self._running.answer(body) for body in bodies]

    def several(self, count: int) -> CheckedAnswers:
        checked = CheckedAnswers()
        for _ in range(count):
            self._note(checked)
        return checked

    @contextmanager
    def aside(self, checked: CheckedAnswers) -> Iterator[None]:
        """Asks every `PERIOD_S` while the block runs; a hanging request delays its end by
        ``probe.timeout_s`` at most.
        """
        over = threading.Event()

        def ask() -> None:
            while not over.wait(PERIOD_S):
                self._note(checked)

        thread = threading.Thread(target=ask, name="bench-check")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _note(self, checked: CheckedAnswers) -> None:
        wrong = self.once()
        checked.asked += 1
        if wrong is not None:
            checked.wrong.append(wrong)


def framed_size(message: bytes) -> int:
    """Returns the size with the five bytes before every gRPC message."""
    return len(message) + 5


def wait_for_answer(checker: Checker, running: Running, *, timeout_s: float, pause_s: float = 0.005) -> str | None:
    """Asks until the answer is right. Returns None, or why it is not when time runs out or the server dies."""
    until = time.monotonic() + timeout_s
    while True:
        wrong = checker.once()
        if wrong is None:
            return None
        if not running.alive():
            return f"the server ended: {running.log_tail()[-300:]}"
        if time.monotonic() > until:
            return f"no right answer within {timeout_s:g} s: {wrong}"
        time.sleep(pause_s)


def _short(error: grpc.RpcError) -> str:
    code = error.code().name if isinstance(error, grpc.Call) else type(error).__name__
    details = error.details() if isinstance(error, grpc.Call) else ""
    return f"{code}: {(details or '').splitlines()[0] if details else ''}"[:200]
