"""The server's side of one HTTP/2 connection, as an `asyncio.Protocol`.

Frames go to the streams they belong to; what streams have to say is written at the end of the loop's turn, all parts of
all of them at once.  A peer that breaks the protocol is told why by GOAWAY, and its calls are cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import hpack

from stoker.core.turn import Turn, current_turn
from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.engine import MAX_CONCURRENT_STREAMS, MAX_METADATA_BYTES
from stoker.frontend.grpc.http2 import wire
from stoker.frontend.grpc.http2.exchange import (
    RECEIVE_WINDOW,
    DialogueExchange,
    Exchange,
    MethodExchange,
    UnknownExchange,
)
from stoker.frontend.grpc.http2.wire import ConnectionFault, Frame
from stoker.frontend.open_exchanges import OpenExchanges

_MAX_HEADER_BLOCK = 4 * MAX_METADATA_BYTES  # the front holds its clients to the metadata limit itself

_CONNECTION_WINDOW = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is served, by path. ``dialogues`` answer each message by one."""

    methods: Mapping[str, Method]
    dialogues: Mapping[str, Callable[[bytes], bytes]]
    open_calls: OpenExchanges
    max_message_bytes: int


class Http2Connection(asyncio.Protocol):
    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = wire.FrameReader()
        self._decoder = hpack.Decoder(max_header_list_size=_MAX_HEADER_BLOCK)
        self._preface = b""
        self._streams: dict[int, Exchange] = {}
        self._newest = 0
        self._block: tuple[Frame, bytearray] | None = None  # a header block that goes on in CONTINUATION frames
        self._window = wire.DEFAULT_WINDOW
        self._stream_window = wire.DEFAULT_WINDOW
        self._received = 0
        self._news: dict[Exchange, None] = {}
        self._flush_due = False
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._turn: Turn = current_turn()
        self._handlers: dict[int, Callable[[Frame], None]] = {
            wire.DATA: self._on_data,
            wire.HEADERS: self._on_headers,
            wire.CONTINUATION: self._on_continuation,
            wire.RST_STREAM: self._on_reset,
            wire.SETTINGS: self._on_settings,
            wire.PING: self._on_ping,
            wire.WINDOW_UPDATE: self._on_window_update,
            wire.PUSH_PROMISE: self._on_nonsense,
        }

    # -------------------------------------------------------------------------------------- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        ours = {
            wire.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS,
            wire.INITIAL_WINDOW_SIZE: RECEIVE_WINDOW,
            wire.MAX_HEADER_LIST_SIZE: MAX_METADATA_BYTES,
        }
        self._transport.write(wire.settings(ours) + wire.window_update(0, _CONNECTION_WINDOW - wire.DEFAULT_WINDOW))

    def data_received(self, data: bytes) -> None:
        with self._turn:
            try:
                for frame in self._reader.feed(self._after_preface(data)):
                    self._on_frame(frame)
            except ConnectionFault as fault:
                self._give_up(fault)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        streams, self._streams = self._streams, {}
        for exchange in streams.values():
            exchange.dropped()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        with self._turn:
            self._plan_flush()

    def _after_preface(self, data: bytes) -> bytes:
        if len(self._preface) == len(wire.PREFACE):
            return data
        missing = len(wire.PREFACE) - len(self._preface)
        self._preface += data[:missing]
        if not wire.PREFACE.startswith(self._preface):
            raise ConnectionFault(wire.PROTOCOL_ERROR, "no HTTP/2 preface")
        return data[missing:]

    def _give_up(self, fault: ConnectionFault) -> None:
        if self._transport is not None:
            last = self._newest.to_bytes(4, "big") + fault.code.to_bytes(4, "big")
            self._transport.write(wire.frame(wire.GOAWAY, 0, 0, last + fault.message.encode()))
            self._transport.close()

    # ------------------------------------------------------------------------------------------ frames

    def _on_frame(self, frame: Frame) -> None:
        if self._block is not None and frame.kind != wire.CONTINUATION:
            raise ConnectionFault(wire.PROTOCOL_ERROR, "a header block was interrupted")
        handler = self._handlers.get(frame.kind)
        if handler is not None:  # kinds that nobody knows are to be ignored
            handler(frame)

    def _on_nonsense(self, frame: Frame) -> None:
        raise ConnectionFault(wire.PROTOCOL_ERROR, f"a frame of kind {frame.kind} from a client")

    def _on_data(self, frame: Frame) -> None:
        self._check_known(frame)
        self._received += len(frame.payload)
        if 2 * self._received >= _CONNECTION_WINDOW:
            self._send(wire.window_update(0, self._received))
            self._received = 0
        exchange = self._streams.get(frame.stream_id)
        if exchange is None or exchange.ended:
            return  # it is over for us, the client did not know yet
        exchange.receive(wire.unpadded(frame))
        if frame.flags & wire.END_STREAM:
            self._end_of_request(exchange)
        else:
            self._send(exchange.grant(len(frame.payload)))

    def _on_headers(self, frame: Frame) -> None:
        if frame.stream_id % 2 == 0:
            raise ConnectionFault(wire.PROTOCOL_ERROR, "HEADERS on a stream that no client can open")
        self._block = (frame, bytearray(wire.unpadded(frame)))
        if frame.flags & wire.END_HEADERS:
            self._end_of_block()

    def _on_continuation(self, frame: Frame) -> None:
        if self._block is None or self._block[0].stream_id != frame.stream_id:
            raise ConnectionFault(wire.PROTOCOL_ERROR, "CONTINUATION of nothing")
        block = self._block[1]
        block += frame.payload
        if len(block) > _MAX_HEADER_BLOCK:
            raise ConnectionFault(wire.PROTOCOL_ERROR, "an endless header block")
        if frame.flags & wire.END_HEADERS:
            self._end_of_block()

    def _end_of_block(self) -> None:
        assert self._block is not None
        (first, block), self._block = self._block, None
        try:
            headers = cast("list[tuple[bytes, bytes]]", self._decoder.decode(bytes(block), raw=True))
        except hpack.HPACKError as error:
            raise ConnectionFault(wire.COMPRESSION_ERROR, str(error)[:100]) from None
        exchange = self._streams.get(first.stream_id)
        if exchange is None and first.stream_id > self._newest:
            exchange = self._open(first.stream_id, headers)
        if exchange is not None and first.flags & wire.END_STREAM:
            self._end_of_request(exchange)

    def _open(self, stream_id: int, headers: list[tuple[bytes, bytes]]) -> Exchange | None:
        self._newest = stream_id
        if len(self._streams) >= MAX_CONCURRENT_STREAMS:
            self._send(wire.reset(stream_id, wire.REFUSED_STREAM))
            return None
        path = dict(headers).get(b":path", b"").decode("latin-1")
        exchange = self._streams[stream_id] = self._exchange(stream_id, path, headers)
        if isinstance(exchange, UnknownExchange):
            exchange.begin()
        return exchange

    def _exchange(self, stream_id: int, path: str, headers: list[tuple[bytes, bytes]]) -> Exchange:
        service = self._service
        if (method := service.methods.get(path)) is not None:
            return MethodExchange(
                self,
                stream_id,
                self._stream_window,
                method=method,
                open_calls=service.open_calls,
                max_message_bytes=service.max_message_bytes,
                headers=headers,
            )
        if (answer := service.dialogues.get(path)) is not None:
            return DialogueExchange(self, stream_id, self._stream_window, answer)
        return UnknownExchange(self, stream_id, self._stream_window)

    def _end_of_request(self, exchange: Exchange) -> None:
        exchange.ended = True
        exchange.end_of_request()

    def _on_reset(self, frame: Frame) -> None:
        self._check_known(frame)
        exchange = self._streams.pop(frame.stream_id, None)
        if exchange is not None:
            exchange.dropped()

    def _on_settings(self, frame: Frame) -> None:
        if frame.flags & wire.ACK:
            return
        window = wire.parse_settings(frame.payload).get(wire.INITIAL_WINDOW_SIZE)
        if window is not None:
            if window > wire.LARGEST_WINDOW:
                raise ConnectionFault(wire.FLOW_CONTROL_ERROR, "a window that is too large")
            change, self._stream_window = window - self._stream_window, window
            for exchange in self._streams.values():
                exchange.window += change
                self.has_news(exchange)
        self._send(wire.frame(wire.SETTINGS, wire.ACK, 0))

    def _on_ping(self, frame: Frame) -> None:
        if not frame.flags & wire.ACK:
            self._send(wire.frame(wire.PING, wire.ACK, 0, frame.payload))

    def _on_window_update(self, frame: Frame) -> None:
        increment = int.from_bytes(frame.payload, "big") & wire.LARGEST_WINDOW
        exchange = self._streams.get(frame.stream_id)
        if frame.stream_id == 0:
            self._window += increment
            for waiting in self._streams.values():
                self.has_news(waiting)
        elif exchange is not None:
            exchange.window += increment
            self.has_news(exchange)
        largest = max(self._window, 0 if exchange is None else exchange.window)
        if increment == 0 or largest > wire.LARGEST_WINDOW:
            raise ConnectionFault(wire.FLOW_CONTROL_ERROR, "a window update that makes no sense")

    def _check_known(self, frame: Frame) -> None:
        if frame.stream_id == 0 or frame.stream_id > self._newest:
            raise ConnectionFault(wire.PROTOCOL_ERROR, "a frame of a stream that was never opened")

    # ------------------------------------------------------------------------------------------ writing

    def has_news(self, exchange: Exchange) -> None:
        """``exchange`` has something to send, or more room to send it."""
        self._news[exchange] = None
        self._plan_flush()

    def _plan_flush(self) -> None:
        if not self._flush_due and not self._paused and self._news:
            self._flush_due = True
            self._turn.defer(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._paused or self._transport is None:
            return
        news, self._news = self._news, {}
        out: list[bytes] = []
        for exchange in news:
            if exchange.id not in self._streams:
                continue
            frames, taken = exchange.emit(self._window)
            self._window -= taken
            out += frames
            if exchange.over:
                del self._streams[exchange.id]
        if out:
            self._transport.write(b"".join(out))
        for exchange in news:
            exchange.emitted()

    def _send(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)
