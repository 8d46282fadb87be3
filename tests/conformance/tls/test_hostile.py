"""Clients that break TLS, leave in the middle of it, or come in crowds: they cost their own connection alone."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
import wire
from grpc_fakes import FakeInference, Ports
from h2_peer import DATA, END_STREAM, PREFACE, SETTINGS, Peer, frame, message, peer
from http_fakes import HttpPorts, connections
from processes import resident_bytes
from waiting import until

from stoker.frontend.grpc.limits import Limits as GrpcLimits
from stoker.frontend.listener import Limits
from stoker.protos import inference_pb2

MIB = 1 << 20
REST = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\ndata"
RPC = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"data"}).SerializeToString()


@dataclass
class Server:
    """``request``: a whole request. ``ask``: makes a new connection's request, and tells whether it was answered."""

    port: int
    inference: FakeInference
    request: bytes
    ask: Callable[[], Any]
    open: Callable[[], int]
    handshakes: Callable[[], int]


class Kind(Protocol):
    def __call__(self, *, handshake_s: float = 20.0) -> Any: ...


@asynccontextmanager
async def over_rest(*, handshake_s: float = 20.0) -> AsyncIterator[Server]:
    ports = HttpPorts()
    async with ports.listener(limits=Limits(handshake_s=handshake_s)) as listener:

        async def ask() -> bool:
            reader, writer = await wire.connect(listener.port)
            writer.write(REST)
            answered = (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.close()
            return answered

        counted = listener._connections
        yield Server(
            listener.port, ports.inference, REST, ask, lambda: len(connections(listener)), lambda: counted.handshakes
        )


@asynccontextmanager
async def over_grpc(*, handshake_s: float = 20.0) -> AsyncIterator[Server]:
    ports = Ports("nghttp2")
    async with ports.server(limits=GrpcLimits(handshake_s=handshake_s)) as server:

        async def ask() -> bool:
            async with peer(server.port) as client:
                client.call(1, RPC)
                return (await client.answer(1)).status == 0

        request = PREFACE + frame(SETTINGS, 0, 0) + _head() + frame(DATA, END_STREAM, 1, message(RPC))
        counted = server._engine.connections  # type: ignore[union-attr]
        yield Server(server.port, ports.inference, request, ask, lambda: len(counted.open), lambda: counted.handshakes)


def _head() -> bytes:
    class Silent(Peer):
        async def _read(self) -> None:
            pass

    made = Silent(None, None)  # type: ignore[arg-type]
    made._task.cancel()
    return made.headers(1)


@pytest.fixture(params=[over_rest, over_grpc], ids=["rest", "grpc"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setattr(wire, "secured", True)
    made: Kind = request.param
    return made


@pytest.fixture
async def server(kind: Kind) -> AsyncIterator[Server]:
    async with kind() as it:
        it.inference.on_submit = lambda submission: submission.answer(b"data")
        yield it
        it.inference.on_submit = lambda submission: submission.answer(b"ok")
        assert await it.ask(), "a neighbour is served"


class Client:
    """TLS over a socket in the open: every byte passes `push` and `pull`, so that a test may change it."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.sock = socket.create_connection((wire.HOST, port), timeout=10)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or wire.trusting()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=wire.HOST)

    def push(self, step: int = 1 << 16) -> None:
        data = self.outgoing.read()
        for at in range(0, len(data), step):
            self.sock.sendall(data[at : at + step])

    def pull(self) -> bool:
        data = self.sock.recv(1 << 16)
        self.incoming.write(data) if data else self.incoming.write_eof()
        return bool(data)

    def shake_hands(self, step: int = 1 << 16) -> Client:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.push(step)
                self.pull()
            else:
                self.push(step)
                return self

    def step(self, part: float = 1.0) -> None:
        """Sends this part of the next flight, and waits for the answer if that is all of it."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        flight = self.outgoing.read()
        self.sock.sendall(flight[: int(part * len(flight))])
        if part == 1.0:
            self.pull()

    def write(self, data: bytes, step: int = 1 << 16) -> None:
        self.tls.write(data)
        self.push(step)

    def read_all(self) -> bytes:
        """Up to the server's close_notify, or what ends the connection; closes it."""
        with self.sock:
            return self._read_all()

    def _read_all(self) -> bytes:
        found = b""
        while True:
            try:
                piece = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                try:
                    self.pull()
                except ConnectionError:
                    return found
            except ssl.SSLError:
                return found
            else:
                if not piece:
                    return found
                found += piece

    def read_until(self, wanted: bytes) -> bytes:
        found = b""
        while wanted not in found:
            try:
                found += self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                assert self.pull(), found
        return found

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


# ------------------------------------------------------------------------------------------- the handshake


async def test_a_handshake_and_a_request_may_come_one_byte_a_segment(server: Server) -> None:
    def slowly() -> bytes:
        client = Client(server.port)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.shake_hands(step=1)
        client.write(server.request, step=1)
        answer = client.read_until(b"data")
        client.sock.close()
        return answer

    assert b"data" in await in_thread(slowly)


async def test_a_handshake_that_trickles_ends_in_its_time_however_steadily_it_comes(kind: Kind) -> None:
    async with kind(handshake_s=0.5) as server:

        def trickle() -> bool:
            """Whether it was cut off."""
            client = Client(server.port)
            with pytest.raises(ssl.SSLWantReadError):
                client.tls.do_handshake()
            with client.sock as sock:
                sock.settimeout(0.02)
                for byte in client.outgoing.read():
                    try:
                        sock.sendall(bytes((byte,)))
                        if not sock.recv(1):
                            return True
                    except TimeoutError:
                        pass
                    except ConnectionError:
                        return True
            return False

        assert await in_thread(trickle)


def record(payload: bytes) -> bytes:
    return b"\x16\x03\x01" + len(payload).to_bytes(2, "big") + payload


CLIENT_HELLO_OF_16_MIB = record(b"\x01\xff\xff\xff" + bytes(16_000)) + record(bytes(16_384)) * 2000


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(CLIENT_HELLO_OF_16_MIB, id="a hello of 16 MiB"),
        pytest.param(record(b"\x01\x00\x00\x02\x03\x03") * 3, id="a hello that is cut"),
        pytest.param(record(b"") * 20_000, id="empty records"),
        pytest.param(record(b"\x14\x00\x00\x20" + bytes(32)), id="the end before the beginning"),
        pytest.param(b"\x16\x03\x01\xff\xff" + bytes(70_000), id="a record of 64 KiB"),
        pytest.param(b"\x16" + bytes(100_000), id="no version"),
    ],
)
async def test_a_handshake_that_breaks_the_rules_is_refused_and_costs_nothing(server: Server, sent: bytes) -> None:
    before = resident_bytes()

    def attack() -> None:
        with socket.create_connection((wire.HOST, server.port), timeout=10) as sock:
            try:
                sock.sendall(sent)
                while sock.recv(1000):
                    pass
            except ConnectionError:
                pass

    await in_thread(attack)
    assert resident_bytes() - before < 20 * MIB
    assert server.open() == 0


async def test_a_thousand_handshakes_at_once_that_go_no_further_keep_no_neighbour_out(server: Server) -> None:
    hello = ssl.MemoryBIO()
    tls = wire.trusting().wrap_bio(ssl.MemoryBIO(), hello, server_hostname=wire.HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    first = hello.read()
    with ExitStack() as stack:
        for number in range(1000):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((wire.HOST, server.port))
            await asyncio.sleep(0)
            sock.send(first)
            if number % 250 == 249:
                assert await server.ask()
        assert await server.ask()
        assert server.open() <= 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("end", ["reset", "end of file"])
@pytest.mark.parametrize("part", [0.5, 1.0], ids=["within a flight", "after a flight"])
async def test_clients_that_vanish_during_the_handshake_leave_nothing(
    server: Server, version: ssl.TLSVersion, end: str, part: float, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cadata=wire.identity().chain.decode())
    context.minimum_version = context.maximum_version = version

    def attack(flights: int) -> None:
        with ExitStack() as stack:
            clients = [Client(server.port, context) for _ in range(50)]
            for client in clients:
                stack.callback(client.reset if end == "reset" else client.sock.close)
            for flight in range(flights):
                for client in clients:
                    client.step(part if flight == flights - 1 else 1.0)

    for flights in (1, 2):
        await in_thread(lambda flights=flights: attack(flights))
        await until(lambda: server.handshakes() == server.open() == 0)
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize("protocols", [[], ["h2"], ["http/1.1"], ["spdy/3"], ["x" * 255] * 100])
async def test_whatever_protocols_a_client_offers_it_is_served_what_it_speaks(
    server: Server, protocols: list[str]
) -> None:
    context = ssl.create_default_context(cadata=wire.identity().chain.decode())
    if protocols:
        context.set_alpn_protocols(protocols)

    def ask() -> bytes:
        client = Client(server.port, context).shake_hands()
        client.write(server.request)
        answer = client.read_until(b"data")
        client.sock.close()
        return answer

    assert b"data" in await in_thread(ask)


# --------------------------------------------------------------------------------------- after the handshake


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x20" + bytes(32), b"\x15\x03\x03\x00\x02\x02\x28"]
)
@pytest.mark.parametrize("within", [False, True], ids=["at once", "within a request"])
async def test_what_is_no_tls_after_the_handshake_ends_the_connection(
    server: Server, garbage: bytes, within: bool
) -> None:
    def attack() -> bytes:
        client = Client(server.port).shake_hands()
        if within:
            client.write(server.request[:-2])
        client.sock.sendall(garbage)
        return client.read_all()

    assert b"data" not in await in_thread(attack)
    await until(lambda: server.open() == 0)


@pytest.mark.parametrize("end", ["reset", "end of file", "close_notify"])
async def test_a_client_that_leaves_takes_its_request_with_it(server: Server, end: str) -> None:
    server.inference.on_submit = None

    def leave() -> None:
        client = Client(server.port).shake_hands()
        client.write(server.request)
        clients.append(client)

    clients: list[Client] = []
    await in_thread(leave)
    submission = await server.inference.submitted()
    (client,) = clients
    if end == "reset":
        client.reset()
    elif end == "end of file":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.unwrap()
        client.push()
    await until(lambda: submission.cancelled)
    await until(lambda: server.open() == 0)
    client.sock.close()


@pytest.mark.parametrize("cut", [1, 5, 30, -1])
async def test_a_record_that_is_cut_is_no_request(server: Server, cut: int) -> None:
    def attack() -> None:
        client = Client(server.port).shake_hands()
        client.tls.write(server.request)
        client.sock.sendall(client.outgoing.read()[:cut])
        client.sock.shutdown(socket.SHUT_WR)
        client.read_all()
        client.sock.close()

    await in_thread(attack)
    await until(lambda: server.open() == 0)
    assert not server.inference.submissions


async def test_a_record_that_was_changed_on_its_way_is_no_request(server: Server) -> None:
    def attack() -> bytes:
        client = Client(server.port).shake_hands()
        client.tls.write(server.request)
        record = bytearray(client.outgoing.read())
        record[-20] ^= 1
        client.sock.sendall(record)
        return client.read_all()

    assert b"data" not in await in_thread(attack)
    assert not server.inference.submissions


async def test_an_idle_tls_connection_does_not_hold_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client does not look at the socket, so it never says that it has received the end."""
    monkeypatch.setattr(wire, "secured", True)
    async with HttpPorts().listener() as listener:

        def ask() -> Client:
            client = Client(listener.port).shake_hands()
            client.write(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
            client.read_until(b"HTTP/1.1 200 ")
            return client

        client = await in_thread(ask)
        stop = asyncio.ensure_future(listener.drain(3600.0))
        await until(stop.done)
        assert len(connections(listener)) == 0
        client.sock.close()
