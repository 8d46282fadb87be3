"""Attacks a real server over raw sockets, and watches its process and the answers to a neighbour."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import hpack
import psutil
from h2_peer import (
    ACK,
    END_HEADERS,
    HEADERS,
    PREDICTIONS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    headers_of,
)
from waiting import wait_until

from stoker.client import Client
from stoker.testing.server import RunningServer

MIB = 1 << 20
HANDLER = """
import zlib

def handle(data, context):
    if data is None:
        return None
    return [answer(bytes(row["data"] if "data" in row else row["body"])) for row in data]

def answer(value):
    return bytes(6_000_000) if value == b"large" else b"%d %08x" % (len(value), zlib.crc32(value))
"""
STALL_S = 0.2
"""How long a client that reads nothing insists on sending; giving up early does no harm."""
PATIENCE_S = 60.0
LATE_S = 10.0
"""Deadline of a neighbour's requests: many times what they take on a busy machine, and less than an attack lasts that
blocks the server."""


def digest(value: bytes) -> bytes:
    """Returns what the handler answers, except to ``large``."""
    return b"%d %08x" % (len(value), zlib.crc32(value))


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def calls(count: int, then: Callable[[bytes], bytes], *extra: tuple[str, str], path: str = PREDICTIONS) -> bytes:
    """Encodes ``count`` calls on one connection; ``then``: the frames after the headers of a stream, by its id."""
    encoder = hpack.Encoder()
    first, block = (
        encoder.encode([*headers_of(path), *extra]) for _ in range(2)
    )  # the second is in the table, as are all others
    start = len(block).to_bytes(3, "big") + bytes((HEADERS, END_HEADERS))
    ids = [(2 * number + 1).to_bytes(4, "big") for number in range(count)]
    begun = frame(HEADERS, END_HEADERS, 1, first) + then(ids[0])
    return begun + b"".join([start + id + block + then(id) for id in ids[1:]])


class Attacker:
    """One connection. ``closed``: by the server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setblocking(False)
        self.closed = False
        self.received = bytearray()

    def __enter__(self) -> Attacker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def push(self, data: bytes, *, reading: bool = True) -> int:
        """Sends until all is sent or the server closes; without ``reading``, also until it no longer takes anything.

        Returns how much was sent.
        """
        view, sent, patience_s = memoryview(data), 0, PATIENCE_S if reading else STALL_S
        deadline = time.monotonic() + patience_s
        while sent < len(view) and not self.closed and time.monotonic() < deadline:
            ready = self._wait((select.POLLIN if reading else 0) | select.POLLOUT)
            with self._until_closed():
                if ready & select.POLLIN:
                    self._read()
                if ready & ~select.POLLIN:
                    sent += self._socket.send(view[sent : sent + MIB])
                    deadline = time.monotonic() + patience_s
        return sent

    def read_until(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Reads until the condition holds or the server closes."""
        deadline = time.monotonic() + seconds
        while not condition() and not self.closed:
            assert time.monotonic() < deadline, (len(self.received), bytes(self.received[-100:]))
            if self._wait(select.POLLIN):
                with self._until_closed():
                    self._read()

    def read_to_the_end(self) -> bytes:
        self.read_until(lambda: False)
        return bytes(self.received)

    def _wait(self, events: int) -> int:
        """Returns which of the events, or errors, came soon."""
        poll = select.poll()  # select() knows 1,024 files
        poll.register(self._socket, events)
        return sum(found for _, found in poll.poll(STALL_S * 1000))

    def _read(self) -> None:
        data = self._socket.recv(MIB)
        self.received += data
        self.closed = not data

    @contextmanager
    def _until_closed(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            pass
        except ConnectionError:
            self.closed = True

    # ---------------------------------------------------------------------------------------------- HTTP/2

    def greet(self, settings: bytes = b"", *frames: bytes) -> None:
        self.push(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0) + b"".join(frames))

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yields kind, flags, stream and payload of all whole frames that came."""
        at = 0
        while at + 9 <= len(self.received):
            size = int.from_bytes(self.received[at : at + 3], "big")
            if at + 9 + size > len(self.received):
                return
            kind, flags, stream = self.received[at + 3], self.received[at + 4], self.received[at + 5 : at + 9]
            yield kind, flags, int.from_bytes(stream, "big"), bytes(self.received[at + 9 : at + 9 + size])
            at += 9 + size

    def window(self, stream: int = 1) -> int:
        """Returns how many bytes of data the server has let this stream send in all."""
        updates = (payload for kind, _, id, payload in self.frames() if (kind, id) == (WINDOW_UPDATE, stream))
        return 65_535 + sum(int.from_bytes(payload, "big") for payload in updates)

    def trailers(self) -> dict[int, int]:
        """Returns grpc-status by stream, of those that have ended."""
        decoder, found = hpack.Decoder(), {}
        for kind, _, stream, payload in self.frames():
            if kind == HEADERS:
                status = dict(decoder.decode(payload)).get("grpc-status")
                if status is not None:
                    found[stream] = int(status)
        return found


class Footprint:
    """Memory and files of the server's process, from now on."""

    def __init__(self, server: RunningServer) -> None:
        self._folder = Path(f"/proc/{server.process.pid}")
        self._process = psutil.Process(server.process.pid)
        self._files = self._process.num_fds()
        with suppress(OSError):  # on a kernel without it, the highest of the past counts, which tells less
            (self._folder / "clear_refs").write_text("5")
        self._peak, self._now = self._sizes()

    @property
    def peak_growth(self) -> int:
        return self._sizes()[0] - self._peak

    @property
    def growth(self) -> int:
        return self._sizes()[1] - self._now

    def wait_until_back(self, most_bytes: int) -> None:
        wait_until(lambda: self._process.num_fds() <= self._files + 3, "descriptors are back")
        wait_until(lambda: self.growth < most_bytes, f"memory is back, but for {most_bytes >> 20} MiB")

    def _sizes(self) -> tuple[int, int]:
        """Returns the peak and the present size in bytes."""
        lines = dict(line.split(":", 1) for line in (self._folder / "status").read_text().splitlines())
        peak, now = (int(lines[name].split()[0]) << 10 for name in ("VmHWM", "VmRSS"))
        return peak, now


class Neighbour:
    """Asks over gRPC and REST in a thread of its own: within the block every answer must be right, and come before
    its deadline, `LATE_S`. Prints how long they took."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._took_ms: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbour")
        self._errors: list[BaseException] = []
        self.answered = 0

    def __enter__(self) -> Neighbour:
        self._thread.start()
        self.goes_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.goes_on()
        finally:
            self._over.set()
            self._thread.join()
        if self._errors:
            raise self._errors[0]
        took = sorted(self._took_ms)
        p50, p99 = (took[len(took) * share // 100] for share in (50, 99))
        print(f"the neighbour's {len(took)} answers took p50 {p50:.1f}, p99 {p99:.1f}, at most {took[-1]:.1f} ms")

    def goes_on(self) -> None:
        """Waits for two more answers over each protocol, so that one was asked for and answered from now on."""
        wanted = self.answered + 4
        wait_until(lambda: self.answered >= wanted or bool(self._errors), "the neighbour is answered")

    def _run(self) -> None:
        try:
            rest = http.client.HTTPConnection("127.0.0.1", port_of(self._server.inference), timeout=LATE_S)
            with closing(rest), Client(self._server.endpoint) as client:
                while not self._over.is_set():
                    self._ask(client, rest)
                    self._over.wait(0.001)
        except BaseException as error:
            self._errors.append(error)

    def _ask(self, client: Client, rest: http.client.HTTPConnection) -> None:
        payload, began = b"neighbour %d" % self.answered, time.perf_counter()
        assert client.predict("m", payload, timeout=LATE_S).data == digest(payload)
        self._answered(began)
        payload, began = b"neighbour %d" % self.answered, time.perf_counter()
        rest.request("POST", "/predictions/m", payload)
        response = rest.getresponse()
        found = (response.status, response.read())
        assert found == (200, digest(payload)), found
        self._answered(began)

    def _answered(self, began: float) -> None:
        self._took_ms.append((time.perf_counter() - began) * 1000)
        self.answered += 1
