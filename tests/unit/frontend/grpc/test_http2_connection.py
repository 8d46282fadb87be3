"""One HTTP/2 connection without a socket: windows, limits, ends, and peers that break the rules."""

from __future__ import annotations

from typing import Any

import hpack
import pytest

from stoker.core.reply import Chunk, ResponseMeta
from stoker.errors import NoWorkers
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.engine import MAX_CONCURRENT_STREAMS
from stoker.frontend.grpc.http2 import wire
from stoker.frontend.grpc.http2.connection import Http2Connection, Service
from stoker.frontend.grpc.http2.exchange import ROOM_BYTES
from stoker.frontend.grpc.status import inference_status
from stoker.frontend.open_exchanges import OpenExchanges

PATH = "/s.S/Stream"
WINDOW = 65_535


class Peer:
    """The client's side: its transport catches what the server writes."""

    def __init__(self, *, max_message_bytes: int = 1000) -> None:
        self.calls: list[Call] = []
        self.closed = False
        self.frames: list[wire.Frame] = []
        self.reader = wire.FrameReader()
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.open_calls = OpenExchanges(access_log=None, max_message_bytes=max_message_bytes, stream_stall_timeout_s=30)
        method = Method(path=PATH, kind=Kind.STREAM, handle=self.calls.append, status_of=inference_status("correct"))
        self.connection = Http2Connection(
            Service(
                methods={PATH: method},
                dialogues={"/s.S/Talk": self.answer},
                open_calls=self.open_calls,
                max_message_bytes=max_message_bytes,
            )
        )
        self.connection.connection_made(self)  # type: ignore[arg-type]
        self.send(wire.PREFACE + wire.settings({}))
        self.frames.clear()

    @staticmethod
    def answer(question: bytes) -> bytes:
        if question == b"bad":
            raise ValueError(question)
        return question * 2

    # what the connection asks of a transport
    def write(self, data: bytes) -> None:
        self.frames += self.reader.feed(data)

    def close(self) -> None:
        self.closed = True

    # what a client does
    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def headers(self, stream_id: int = 1, path: str = PATH, flags: int = wire.END_HEADERS, **more: str) -> bytes:
        block = self.encoder.encode([(":path", path), *((k.replace("_", "-"), v) for k, v in more.items())])
        return wire.frame(wire.HEADERS, flags, stream_id, block)

    def call(self, stream_id: int = 1, message: bytes = b"in", **more: str) -> Call:
        self.send(self.headers(stream_id, **more) + self.data(stream_id, wire.message(message)))
        return self.calls[-1]

    @staticmethod
    def data(stream_id: int, body: bytes, *, end: bool = True) -> bytes:
        return wire.frame(wire.DATA, wire.END_STREAM if end else 0, stream_id, body)

    def taken(self, *kinds: int) -> list[wire.Frame]:
        frames, self.frames = self.frames, []
        return [one for one in frames if not kinds or one.kind in kinds]

    def trailers(self) -> dict[str, str]:
        last = [one for one in self.taken(wire.HEADERS) if one.flags & wire.END_STREAM]
        return dict(self.decoder.decode(last[-1].payload)) if last else {}


@pytest.fixture
async def peer() -> Peer:
    return Peer()


async def test_parts_that_wait_together_leave_in_one_frame_in_order(peer: Peer) -> None:
    call = peer.call()
    with peer.connection._turn:
        for number in range(100):
            assert call.send(Chunk(b"%d" % number, ResponseMeta(headers={"k": "v"})))
        call.finish()
    headers, data, trailers = peer.taken()
    assert (headers.kind, data.kind, trailers.kind) == (wire.HEADERS, wire.DATA, wire.HEADERS)
    assert list(wire.MessageReader(100, "").feed(data.payload)) == [b"%d" % number for number in range(100)]
    assert dict(peer.decoder.decode(trailers.payload)) == {"grpc-status": "0", "k": "v"}
    assert call.ended and not peer.open_calls.open


async def test_the_request_arrives_whole_with_its_metadata_and_deadline(peer: Peer) -> None:
    body = wire.message(b"x" * 999)
    peer.send(peer.headers(grpc_timeout="10S", k="v"))
    for start in range(0, len(body), 100):
        assert not peer.calls
        peer.send(peer.data(1, body[start : start + 100], end=start + 100 >= len(body)))
    (call,) = peer.calls
    assert call.request == b"x" * 999 and call.metadata == [("k", "v")]
    assert call.deadline is not None and call.deadline - call.started_at == pytest.approx(10)
    call.finish()


async def test_no_more_leaves_than_the_windows_allow_and_the_method_is_told_to_wait(peer: Peer) -> None:
    call = peer.call()
    written = []
    call.on_writable = lambda: written.append("room")
    part = b"x" * (WINDOW + 2 * ROOM_BYTES)
    with peer.connection._turn:
        assert not call.send_message(part)
    assert sum(len(one.payload) for one in peer.taken(wire.DATA)) == WINDOW
    peer.send(wire.window_update(1, 200_000))
    assert peer.taken(wire.DATA) == [] and written == []  # the connection's own window is used up
    peer.send(wire.window_update(0, 200_000))
    assert sum(len(one.payload) for one in peer.taken(wire.DATA)) == len(wire.message(part)) - WINDOW
    assert written == ["room"]
    with peer.connection._turn:
        call.finish()
    assert peer.trailers() == {"grpc-status": "0"}


async def test_a_stream_that_does_not_read_takes_nothing_from_another(peer: Peer) -> None:
    peer.send(wire.window_update(0, 1 << 20))
    stalled, lively = peer.call(1), peer.call(3)
    with peer.connection._turn:
        stalled.send_message(b"x" * (WINDOW + ROOM_BYTES))
        lively.send_message(b"hello")
    assert [one.stream_id for one in peer.taken(wire.DATA)].count(3) == 1


async def test_a_refusal_of_a_stream_that_is_stuck_does_not_wait_for_its_reader(peer: Peer) -> None:
    call = peer.call()
    with peer.connection._turn:
        assert not call.send_message(b"x" * (WINDOW + 2 * ROOM_BYTES))
    peer.taken()
    with peer.connection._turn:
        call.fail(NoWorkers("m", "1"))
    assert peer.trailers()["grpc-status"] == "14"


async def test_a_refusal_before_any_part_is_trailers_only(peer: Peer) -> None:
    call = peer.call()
    with peer.connection._turn:
        call.fail(NoWorkers("m", "1"))
    (frame,) = peer.taken()
    headers = dict(peer.decoder.decode(frame.payload))
    assert headers[":status"] == "200" and headers["grpc-status"] == "14" and frame.flags & wire.END_STREAM


async def test_a_reset_and_a_lost_connection_cancel(peer: Peer) -> None:
    gone: list[int] = []
    first, second = peer.call(1), peer.call(3)
    first.on_cancel = lambda: gone.append(1)
    second.on_cancel = lambda: gone.append(3)
    peer.send(wire.reset(1, wire.CANCEL))
    assert gone == [1]
    peer.connection.connection_lost(None)
    assert gone == [1, 3] and not peer.open_calls.open
    second.send_message(b"late")
    second.finish()


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (b"\0" + (1001).to_bytes(4, "big"), {}, "8"),
        (wire.message(b"a") + wire.message(b"b"), {}, "13"),
        (b"\0\0\0\0\5abc", {}, "13"),
        (b"", {}, "13"),
        (b"\1\0\0\0\4abcd", {"grpc_encoding": "gzip"}, "12"),
        (b"\1\0\0\0\4abcd", {"grpc_encoding": "zstd"}, "12"),
    ],
)
async def test_a_bad_body_is_refused_and_the_next_call_is_served(
    peer: Peer, body: bytes, options: dict[str, str], status: str
) -> None:
    peer.send(peer.headers(**options) + peer.data(1, body))
    assert peer.trailers()["grpc-status"] == status and not peer.calls
    call = peer.call(3)
    with peer.connection._turn:
        call.finish()
    assert peer.trailers() == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}


async def test_a_body_that_goes_on_after_the_refusal_is_not_kept(peer: Peer) -> None:
    peer.send(peer.headers() + peer.data(1, b"\0" + (1 << 30).to_bytes(4, "big"), end=False))
    ends = [one for one in peer.taken() if one.kind in (wire.HEADERS, wire.RST_STREAM)]
    assert [one.kind for one in ends] == [wire.HEADERS, wire.RST_STREAM]
    for _ in range(100):
        peer.send(peer.data(1, b"x" * 16_000, end=False))
    assert not peer.closed and not peer.connection._streams


async def test_a_dialogue_answers_each_message_until_it_ends(peer: Peer) -> None:
    peer.send(peer.headers(path="/s.S/Talk") + peer.data(1, wire.message(b"a"), end=False))
    assert [one.payload for one in peer.taken(wire.DATA)] == [wire.message(b"aa")]
    peer.send(peer.data(1, wire.message(b"b") + wire.message(b"c")))
    assert [one.payload for one in peer.frames if one.kind == wire.DATA] == [wire.message(b"bb") + wire.message(b"cc")]
    peer.send(peer.headers(3, path="/s.S/Talk") + peer.data(3, wire.message(b"bad"), end=False))
    assert peer.trailers()["grpc-status"] == "13"


async def test_an_unknown_method_is_unimplemented(peer: Peer) -> None:
    peer.send(peer.headers(path="/s.S/Nothing"))
    assert peer.trailers()["grpc-status"] == "12"


async def test_streams_over_the_limit_are_refused_and_the_others_live(peer: Peer) -> None:
    for number in range(MAX_CONCURRENT_STREAMS + 1):
        peer.send(peer.headers(2 * number + 1))
    assert [one.stream_id for one in peer.taken(wire.RST_STREAM)] == [2 * MAX_CONCURRENT_STREAMS + 1]
    assert not peer.closed


async def test_settings_and_pings_are_acknowledged(peer: Peer) -> None:
    peer.send(wire.settings({wire.INITIAL_WINDOW_SIZE: 10}) + wire.frame(wire.PING, 0, 0, b"12345678"))
    settings, ping = peer.taken()
    assert (settings.kind, settings.flags) == (wire.SETTINGS, wire.ACK)
    assert (ping.kind, ping.flags, ping.payload) == (wire.PING, wire.ACK, b"12345678")
    call = peer.call()
    call.send_message(b"x" * 20)
    with peer.connection._turn:
        pass
    assert sum(len(one.payload) for one in peer.taken(wire.DATA)) == 10


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n" + b" " * 24,
        wire.PREFACE + wire.frame(wire.DATA, 0, 1, b"x"),
        wire.PREFACE + wire.frame(wire.DATA, 0, 0, b"x"),
        wire.PREFACE + wire.frame(wire.HEADERS, wire.END_HEADERS, 2, b""),
        wire.PREFACE + wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
        wire.PREFACE + wire.frame(wire.CONTINUATION, wire.END_HEADERS, 1, b""),
        wire.PREFACE + wire.frame(wire.HEADERS, 0, 1, b"") + wire.frame(wire.PING, 0, 0, b"12345678"),
        wire.PREFACE + wire.frame(wire.HEADERS, 0, 1, b"") + wire.frame(wire.CONTINUATION, 0, 1, b"x" * 16_000) * 5,
        wire.PREFACE + wire.frame(wire.HEADERS, wire.PADDED | wire.END_HEADERS, 1, b"\xff"),
        wire.PREFACE + wire.frame(wire.PUSH_PROMISE, 0, 1, b""),
        wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0, b"12345"),
        wire.PREFACE + wire.settings({wire.INITIAL_WINDOW_SIZE: 2**31}),
        wire.PREFACE + wire.window_update(0, 0),
        wire.PREFACE + wire.window_update(0, 2**31 - 1) * 2,
        wire.PREFACE + b"\xff\xff\xff" + b"\0" * 6,
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_told_by_goaway(nonsense: bytes) -> None:
    peer = Peer()
    fresh: Any = Http2Connection(peer.connection._service)
    fresh.connection_made(peer)
    peer.frames.clear()
    fresh.data_received(nonsense)
    assert peer.closed and peer.taken()[-1].kind == wire.GOAWAY
