"""A client that may break the rules: frames of its own over one TCP connection, headers by `hpack`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import hpack
import wire

from stoker.protos import inference_pb2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 4  # of the settings
NO_ERROR, PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 0, 1, 11
CANCEL = bytes((0, 0, 0, 8))
OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 0, 1, 2, 4, 5, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
STREAM_PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/StreamPredictions"
STREAM_PREDICTIONS_2 = f"{STREAM_PREDICTIONS}2"
MIB = 1 << 20
REQUEST = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"x"}).SerializeToString()
BIG = inference_pb2.PredictionsRequest(model_name="big", input={"data": b"x"}).SerializeToString()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def message(payload: bytes, *, packed: bool = False, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return bytes((packed,)) + size.to_bytes(4, "big") + payload


@dataclass
class Answer:
    """The answer on one stream."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    frames: int = 0  # of the body
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int | None:
        """grpc-status, if it came."""
        found = [value for name, value in self.headers if name == "grpc-status"]
        return int(found[-1]) if found else None


def headers_of(path: str) -> list[tuple[str, str]]:
    """Returns the headers of a call."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


class Peer:
    """``answers`` by stream id; ``goaway``, ``goaway_text``: of the server's last GOAWAY; ``closed``: by the server;
    ``answers_pings``: of the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.goaway_text = b""
        self.settings: dict[int, int] = {}
        self.pings = 0
        self.answers_pings = True
        self.window_updates: dict[int, int] = {}
        self.closed = False
        self.reading = True
        self._task = asyncio.ensure_future(self._read())

    # ------------------------------------------------------------------------------------------- sending

    def send(self, *frames: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(b"".join(frames))

    def greet(self, settings: dict[int, int] | None = None) -> None:
        values = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in (settings or {}).items())
        self.send(PREFACE, frame(SETTINGS, 0, 0, values))

    def headers(
        self, stream: int, *, path: str = PREDICTIONS, end: bool = False, extra: Iterable[tuple[str, str]] = ()
    ) -> bytes:
        block = self._encoder.encode([*headers_of(path), *extra])
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def call(self, stream: int, request: bytes, *, extra: Iterable[tuple[str, str]] = ()) -> None:
        """A whole unary call."""
        self.send(self.headers(stream, extra=extra), frame(DATA, END_STREAM, stream, message(request)))

    async def drained(self) -> None:
        """All that was sent is on its way, or the server has closed."""
        try:
            await self._writer.drain()
        except ConnectionError:
            self.closed = True

    # ------------------------------------------------------------------------------------------ receiving

    async def _read(self) -> None:
        try:
            while True:
                while not self.reading:
                    await asyncio.sleep(0.01)
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        answer = self.answers.setdefault(stream, Answer()) if stream else Answer()
        if kind == HEADERS:
            answer.headers += [(str(name), str(value)) for name, value in self._decoder.decode(payload)]
        elif kind == DATA:
            answer.body += payload
            answer.frames += 1
        elif kind == RST_STREAM:
            answer.reset = int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                self.settings[int.from_bytes(payload[at : at + 2], "big")] = int.from_bytes(
                    payload[at + 2 : at + 6], "big"
                )
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and flags & ACK:
            self.pings += 1
        elif kind == PING and self.answers_pings:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaway, self.goaway_text = int.from_bytes(payload[4:8], "big"), payload[8:]
        elif kind == WINDOW_UPDATE:
            self.window_updates[stream] = self.window_updates.get(stream, 0) + int.from_bytes(payload, "big")
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            answer.ended = True

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, (self.goaway, self.closed, self.answers.keys())
            await asyncio.sleep(0.005)

    async def answer(self, stream: int) -> Answer:
        """Waits until the stream ends one way or another."""

        def over() -> bool:
            found = self.answers.get(stream)
            return self.closed or (found is not None and (found.ended or found.reset is not None))

        await self.until(over)
        return self.answers.setdefault(stream, Answer())

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()


@asynccontextmanager
async def peer(port: int, *, greet: bool = True, settings: dict[int, int] | None = None) -> AsyncIterator[Peer]:
    reader, writer = await wire.connect(port)
    it = Peer(reader, writer)
    if greet:
        it.greet(settings)
    try:
        yield it
    finally:
        await it.close()


async def serves(port: int) -> bool:
    """Tells whether a neighbour is answered."""
    async with peer(port) as neighbour:
        neighbour.call(1, REQUEST)
        return (await neighbour.answer(1)).status == OK
