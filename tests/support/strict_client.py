"""A client of gRPC that keeps every rule of HTTP/2 and holds the server to them: the state machines of `h2`.

`h2` refuses what a rule forbids, whether its own side would send it or the server does: data beyond a window, frames
beyond the size it allows, headers beyond its table, frames that a stream's state does not allow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import wire
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    PushedStreamReceived,
    ResponseReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    UnknownFrameReceived,
)
from h2.settings import SettingCodes, Settings
from h2_peer import GOAWAY, PREDICTIONS, REQUEST, message
from waiting import until

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Seen:
    """One frame of the server."""

    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Answer:
    """What came on one stream."""

    headers: Headers = field(default_factory=list)
    trailers: Headers | None = None
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def status(self) -> int:
        """Returns grpc-status, of the trailers or of the headers that are trailers too."""
        return int(dict(self.headers if self.trailers is None else self.trailers)["grpc-status"])


class StrictClient:
    """``frames``: all of the server's; ``h2`` sees none of the kinds in ``hidden``: no GOAWAY, after which it would
    accept no answer.

    ``reads``: gives back to the windows what came; else the test opens them.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: dict[int, int], *, reads: bool
    ) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=True, initial_values={SettingCodes.ENABLE_PUSH: 0, **settings})
        self.h2.decoder.max_allowed_table_size = self.h2.local_settings.header_table_size
        self.h2.initiate_connection()
        self.reads = reads
        self.frames: list[Seen] = []
        self.hidden = {GOAWAY}
        self.answers: dict[int, Answer] = {}
        self.pings: list[bytes] = []
        self.settings_acknowledged = 0
        self.closed = False
        self._reader, self._writer = reader, writer
        self._error: BaseException | None = None
        self._task = asyncio.ensure_future(self._read())
        self.flush()

    # -------------------------------------------------------------------------------------------- sending

    def flush(self, *raw: bytes) -> None:
        """Sends what `h2` has to send, then ``raw`` frames, of which it does not know."""
        self._writer.write(b"".join((self.h2.data_to_send(), *raw)))

    def begin(self, path: str = PREDICTIONS, extra: Sequence[tuple[str, str]] = (), *, end: bool = False) -> int:
        """Begins a call and returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https" if wire.secured else "http"),
            (":path", path),
            (":authority", "test"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *extra,
        ]
        self.h2.send_headers(stream, headers, end_stream=end)
        self.answers[stream] = Answer()
        return stream

    def call(
        self, request: bytes = REQUEST, path: str = PREDICTIONS, extra: Sequence[tuple[str, str]] = ()
    ) -> tuple[int, Answer]:
        """Asks whole, at once: the windows must have room."""
        stream = self.begin(path, extra)
        self.h2.send_data(stream, message(request), end_stream=True)
        self.flush()
        return stream, self.answers[stream]

    async def send_all(self, stream: int, body: bytes, *, end: bool = True, padding: int | None = None) -> None:
        """Sends as the windows of stream and connection let it."""
        overhead = 0 if padding is None else padding + 1
        while body:
            await self.until(lambda: self.h2.local_flow_control_window(stream) > overhead)
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size) - overhead
            piece, body = body[:room], body[room:]
            self.h2.send_data(stream, piece, end_stream=end and not body, pad_length=padding)
            self.flush()

    def reset(self, stream: int) -> None:
        self.h2.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()

    def open_window(self, size: int, stream: int | None = None) -> None:
        self.h2.increment_flow_control_window(size, stream)
        self.flush()

    async def change(self, setting: int, value: int) -> None:
        """Changes one of the client's settings; returns once the server has acknowledged it."""
        wanted = self.settings_acknowledged + 1
        self.h2.update_settings({setting: value})
        self.flush()
        await self.until(lambda: self.settings_acknowledged >= wanted)

    async def round_trip(self, payload: bytes = b"whatever") -> None:
        """Returns once the server has answered a ping, and so has seen all that came before it."""
        known = len(self.pings)
        self.h2.ping(payload)
        self.flush()
        await self.until(lambda: len(self.pings) > known)

    # ------------------------------------------------------------------------------------------ receiving

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits; raises what rule the server broke."""
        await until(lambda: self._error is not None or condition() or self.closed)
        self.check()
        assert condition(), "the server closed the connection"

    async def over(self, answer: Answer) -> Answer:
        await self.until(lambda: answer.over)
        return answer

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                seen = Seen(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
                self.frames.append(seen)
                if seen.kind not in self.hidden:
                    for event in self.h2.receive_data(head + payload):
                        self._take(event)
                    self.flush()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
        except Exception as error:  # a broken rule
            self._error = error

    def _take(self, event: Event) -> None:
        assert not isinstance(event, (InformationalResponseReceived, PushedStreamReceived, UnknownFrameReceived))
        if isinstance(event, ResponseReceived):
            self.answers[event.stream_id].headers = _text(event.headers)
        elif isinstance(event, TrailersReceived):
            self.answers[event.stream_id].trailers = _text(event.headers)
        elif isinstance(event, DataReceived):
            self.answers[event.stream_id].body += event.data
            if self.reads and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.answers[event.stream_id].ended = True
        elif isinstance(event, StreamReset):
            self.answers[event.stream_id].reset = event.error_code
        elif isinstance(event, SettingsAcknowledged):
            self.settings_acknowledged += 1
        elif isinstance(event, PingAckReceived):
            self.pings.append(event.ping_data)

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()


def _text(headers: object) -> Headers:
    return [(str(name), str(value)) for name, value in headers]  # type: ignore[attr-defined]


@asynccontextmanager
async def strict_client(
    port: int, settings: dict[int, int] | None = None, *, reads: bool = True
) -> AsyncIterator[StrictClient]:
    """Connects; in the end the server must have broken no rule."""
    client = StrictClient(*await wire.connect(port), settings or {}, reads=reads)
    try:
        yield client
        client.check()
    finally:
        await client.close()
