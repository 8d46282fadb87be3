"""TLS of one connection between a protocol and a transport, without a socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
import trustme

from stoker.frontend import tls_transport
from stoker.frontend.connections import Connections
from stoker.frontend.tls_transport import TlsTransport

LARGE = bytes(range(256)) * 2048


class Below(asyncio.Transport):
    """The socket's transport: what it was given, and whether it takes more."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 5)})
        self.sent = bytearray()
        self.upper: TlsTransport | None = None
        self.takes = 1 << 40
        self.closed = self.aborted = self.ended = self.paused = False

    def write(self, data: Any) -> None:
        self.sent += data
        if self.upper is not None and len(self.sent) > self.takes and not self.paused:
            self.paused = True
            self.upper.pause_writing()

    def writelines(self, pieces: Iterable[Any]) -> None:
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        return len(self.sent)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def write_eof(self) -> None:
        self.ended = True

    def taken(self) -> bytes:
        """What went to the client, which makes room."""
        sent, self.sent = bytes(self.sent), bytearray()
        if self.paused and self.upper is not None:
            self.paused = False
            self.upper.resume_writing()
        return sent


class Inner(asyncio.Protocol):
    def __init__(self) -> None:
        self.connected = 0
        self.lost = 0
        self.received = bytearray()
        self.pauses: list[bool] = []
        self.on_data: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected += 1
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data()

    def pause_writing(self) -> None:
        self.pauses.append(True)

    def resume_writing(self) -> None:
        self.pauses.append(False)


class Rig:
    """A server's stream, and a client of it. ``step``: bytes that arrive at once."""

    def __init__(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext], *, handshake_s: float = 100.0) -> None:
        server, client = contexts
        self.inner, self.below, self.counted = Inner(), Below(), Connections(10)
        self.stream = TlsTransport(self.inner, server, self.counted, handshake_s=handshake_s)
        self.below.upper = self.stream
        self.to_client, self.from_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self.to_client, self.from_client, server_hostname="server")
        self.stream.connection_made(self.below)
        self.told_of_the_end = False

    def arrive(self, data: bytes, step: int = 1 << 16) -> None:
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            self.stream.get_buffer(-1)[: len(piece)] = piece
            self.stream.buffer_updated(len(piece))

    def shake_hands(self, step: int = 1 << 16) -> None:
        while not self.inner.connected or self.below.sent:
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.arrive(self.from_client.read(), step)
            self.to_client.write(self.below.taken())
        assert self.inner.connected == 1

    def shake_hands_but_for_the_last_message(self) -> None:
        """The client's end of the handshake comes with what it sends next."""
        with pytest.raises(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.arrive(self.from_client.read())
        self.to_client.write(self.below.taken())
        self.client.do_handshake()

    def send(self, data: bytes, step: int = 1 << 16) -> None:
        view = memoryview(data)
        while view:
            view = view[self.client.write(view) :]
        self.arrive(self.from_client.read(), step)

    def read(self) -> bytes:
        """What the client reads, as far as it comes."""
        found = bytearray()
        while True:
            self.to_client.write(self.below.taken())
            try:
                piece = self.client.read(1 << 16)
            except ssl.SSLWantReadError:
                if not self.below.sent:
                    return bytes(found)
                continue
            if not piece:
                self.told_of_the_end = True
                return bytes(found)
            found += piece

    def close(self) -> None:
        self.stream.connection_lost(None)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("server").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.fixture
async def rig(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Rig:
    rig = Rig(contexts)
    rig.shake_hands()
    return rig


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
async def test_bytes_may_arrive_in_pieces_of_any_size(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], step: int
) -> None:
    rig = Rig(contexts)
    rig.shake_hands(step)
    rig.send(b"a request", step)
    assert rig.inner.received == b"a request"
    rig.inner.transport.write(b"an answer")
    assert rig.read() == b"an answer"
    rig.close()
    assert rig.inner.lost == 1


async def test_what_comes_with_the_last_bytes_of_the_handshake_is_delivered(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    rig = Rig(contexts)
    rig.shake_hands_but_for_the_last_message()
    rig.send(b"early")
    assert rig.inner.received == b"early"
    rig.close()


async def test_a_large_request_with_the_last_bytes_of_the_handshake_leaves_no_large_buffer(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    rig = Rig(contexts)
    rig.shake_hands_but_for_the_last_message()
    most, write = 0, rig.stream._incoming.write

    class Watched:
        pending = property(lambda _: rig_incoming.pending)

        def write(self, data: bytes) -> int:
            nonlocal most
            written = write(data)
            most = max(most, rig_incoming.pending)
            return written

    rig_incoming = rig.stream._incoming
    rig.stream._incoming = Watched()  # type: ignore[assignment]
    rig.send(LARGE[:60_000])
    assert rig.inner.received == LARGE[:60_000]
    assert 0 < most <= 2 * tls_transport._PIECE
    rig.close()


async def test_large_data_arrives_whole_both_ways(rig: Rig) -> None:
    rig.send(LARGE)
    assert rig.inner.received == LARGE
    rig.inner.transport.write(LARGE)
    rig.inner.transport.write(b"end")
    assert rig.read() == LARGE + b"end"
    rig.close()


async def test_nothing_is_encrypted_before_the_client_reads(rig: Rig) -> None:
    rig.below.takes = 1000
    transport = rig.inner.transport
    transport.write(LARGE)
    transport.write(b"end")
    assert len(rig.below.sent) < 5 * tls_transport._RECORD
    assert rig.inner.pauses == [True]
    assert transport.get_write_buffer_size() > len(LARGE)
    assert rig.read() == LARGE + b"end"
    assert rig.inner.pauses == [True, False]
    assert transport.get_write_buffer_size() == 0
    rig.close()


async def test_a_large_answer_to_a_fast_reader_leaves_others_their_turn(rig: Rig) -> None:
    rig.inner.transport.write(LARGE * 8)
    rig.inner.transport.write(b"end")
    assert len(rig.below.sent) < 3 * len(LARGE)
    assert rig.inner.pauses == [True]
    received = bytearray()
    while not received.endswith(b"end"):
        await asyncio.sleep(0)
        received += rig.read()
    assert received == LARGE * 8 + b"end"
    assert rig.inner.pauses == [True, False]
    rig.close()


async def test_a_close_sends_what_was_written_before_and_says_goodbye(rig: Rig) -> None:
    rig.below.takes = 1000
    rig.inner.transport.write(LARGE)
    rig.inner.transport.close()
    assert not rig.below.closed
    rig.inner.transport.write(b"too late")
    assert rig.read() == LARGE
    assert rig.told_of_the_end
    assert not rig.below.closed  # closed while it writes, asyncio reports the loss twice
    await asyncio.sleep(0)
    assert rig.below.closed
    rig.close()
    assert rig.inner.lost == 1


async def test_after_a_half_close_the_client_may_go_on(rig: Rig) -> None:
    rig.inner.transport.write(b"answer")
    rig.inner.transport.write_eof()
    assert rig.below.ended
    assert rig.read() == b"answer"
    rig.send(b"the rest of the request")
    assert rig.inner.received == b"the rest of the request"
    rig.inner.transport.close()
    assert rig.below.closed
    rig.close()


async def test_a_client_that_says_goodbye_gets_what_was_written(rig: Rig) -> None:
    rig.inner.on_data = lambda: rig.inner.transport.write(LARGE)
    rig.client.write(b"ask")
    with pytest.raises(ssl.SSLWantReadError):
        rig.client.unwrap()
    rig.arrive(rig.from_client.read())
    assert rig.inner.received == b"ask"
    await asyncio.sleep(0)
    assert rig.below.closed
    rig.close()


async def test_an_end_without_goodbye_ends_the_connection(rig: Rig) -> None:
    assert rig.stream.eof_received()
    await asyncio.sleep(0)
    assert rig.below.closed
    rig.close()
    assert rig.inner.lost == 1


async def test_garbage_ends_the_connection_with_an_alert(rig: Rig) -> None:
    rig.arrive(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert rig.below.closed
    with pytest.raises(ssl.SSLError, match="ALERT"):
        rig.read()
    rig.close()


async def test_records_of_one_byte_are_data_however_many_there_are(rig: Rig) -> None:
    for _ in range(15_000):  # more bytes than may come without data
        rig.client.write(b"x")
    rig.arrive(rig.from_client.read())
    assert (len(rig.inner.received), rig.below.is_closing()) == (15_000, False)
    rig.close()


class NothingButKeyUpdates:
    def pending(self) -> int:
        return 0

    def read(self, size: int) -> bytes:
        raise ssl.SSLWantReadError


async def test_records_without_end_that_carry_nothing_end_the_connection(rig: Rig) -> None:
    rig.stream._tls = NothingButKeyUpdates()  # type: ignore[assignment]
    rig.arrive(bytes(tls_transport._MOST_EMPTY_BYTES))
    assert not rig.below.aborted
    rig.arrive(b"x")
    assert rig.below.aborted
    rig.close()


async def test_while_reading_is_paused_nothing_received_is_kept_back(rig: Rig) -> None:
    below = rig.below
    below.pause_reading = lambda: None  # type: ignore[method-assign]
    rig.inner.on_data = lambda: rig.inner.transport.pause_reading()
    rig.send(LARGE[: 1 << 15])
    assert rig.inner.received == LARGE[: 1 << 15]
    rig.close()


async def test_a_lost_handshake_is_not_the_inner_protocols_loss(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    rig = Rig(contexts)
    assert rig.counted.handshakes == 1
    rig.arrive(b"\x16\x03\x01")
    rig.close()
    assert (rig.inner.connected, rig.inner.lost, rig.counted.handshakes) == (0, 0, 0)


async def test_what_is_known_of_the_socket_and_of_tls_can_be_asked(rig: Rig) -> None:
    assert rig.inner.transport.get_extra_info("peername") == ("10.0.0.1", 5)
    assert rig.inner.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
    rig.close()
