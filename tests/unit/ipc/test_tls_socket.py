"""TLS behind the calls of a socket: nothing lost, doubled or out of order, however the kernel cuts it."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
from tls_kit import client_context, tls_pair

from stoker.ipc.tls_socket import TlsSocket
from stoker.pool.remote.certificates import make_tls

TLS = make_tls()
Pair = tuple[TlsSocket, TlsSocket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    server, client = tls_pair(TLS)
    yield server, client
    server.close()
    client.close()


@pytest.fixture
def narrow() -> Iterator[Pair]:
    """The kernel takes only a part of what is sent, and the server's end does not block."""
    server, client = tls_pair(TLS, buffer_bytes=4096)
    server.setblocking(False)
    yield server, client
    server.close()
    client.close()


def receive(stream: TlsSocket, nbytes: int) -> bytes:
    data = b""
    while len(data) < nbytes:
        part = stream.recv(65536)
        assert part
        data += part
    return data


def received_by(stream: TlsSocket, nbytes: int) -> Callable[[], bytes]:
    """Receives on a thread; the result waits for it."""
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(receive(stream, nbytes)))
    thread.start()

    def result() -> bytes:
        thread.join()
        return found[0]

    return result


def test_bytes_pass_in_both_directions(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"to the server")
    assert server.recv(100) == b"to the server"
    server.sendall(b"back")
    assert client.recv(100) == b"back"


def test_small_buffers_are_joined_and_large_ones_keep_their_order(pair: Pair) -> None:
    server, client = pair
    sizes = [1, 0, 5, 16000, 700, 16384, 16385, 40000, 3, 100_000, 2, 0, 131_072]
    buffers = [os.urandom(size) for size in sizes]
    whole = b"".join(buffers)
    result = received_by(client, len(whole))
    sent = 0
    while sent < len(whole):
        sent += server.sendmsg([memoryview(whole)[sent:]] if sent else buffers)
    assert result() == whole


@pytest.mark.parametrize("size", [0, 1, 16384, 131_071, 131_072, 131_073, 1 << 20])
def test_one_send_never_takes_more_than_it_says(pair: Pair, size: int) -> None:
    server, client = pair
    data = os.urandom(size)
    result = received_by(client, size)
    view = memoryview(data)
    while view:
        view = view[server.sendmsg([view[: size // 3 + 1], view[size // 3 + 1 :]]) :]
    assert result() == data


def test_what_the_kernel_does_not_take_is_not_reported_as_sent(narrow: Pair) -> None:
    server, client = narrow
    data = os.urandom(1 << 20)
    with pytest.raises(BlockingIOError):
        server.sendmsg([data])
    result = received_by(client, len(data) + 5)
    left = [memoryview(data), memoryview(b"after")]
    blocked = 0
    while left:
        try:
            count = server.sendmsg(left)
        except BlockingIOError:
            blocked += 1
            continue
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left:
            left[0] = left[0][count:]
    assert result() == data + b"after"
    assert blocked


def test_buffers_that_are_added_behind_while_the_front_is_blocked_follow_it(narrow: Pair) -> None:
    server, client = narrow
    front = os.urandom(200_000)
    with pytest.raises(BlockingIOError):
        server.sendmsg([front])
    result = received_by(client, len(front) + 4)
    left: list[memoryview] = [memoryview(front), memoryview(b"next")]
    while left:
        try:
            count = server.sendmsg(left)
        except BlockingIOError:
            continue
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left:
            left[0] = left[0][count:]
    assert result() == front + b"next"


def test_a_reader_that_takes_a_little_sees_what_is_left(pair: Pair) -> None:
    """The socket shows nothing any more: whoever waits for it would wait forever."""
    server, client = pair
    client.sendall(b"abcdef")
    assert server.recv(2) == b"ab"
    assert server.pending
    window = bytearray(3)
    assert server.recv_into(memoryview(window)) == 3
    assert (bytes(window), server.pending) == (b"cde", True)
    assert server.recv(100) == b"f"
    assert not server.pending


def test_a_large_window_is_filled_from_several_records(pair: Pair) -> None:
    server, client = pair
    data = os.urandom(300_000)
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    window, filled = bytearray(len(data)), 0
    while filled < len(data):
        filled += server.recv_into(memoryview(window)[filled:])
    sender.join()
    assert bytes(window) == data


def test_without_waiting_only_what_is_there_is_returned(pair: Pair) -> None:
    server, client = pair
    with pytest.raises(BlockingIOError):
        server.recv(10, socket.MSG_DONTWAIT)
    client.sendall(b"x")
    assert server.recv(10, socket.MSG_DONTWAIT) == b"x"
    with pytest.raises(BlockingIOError):
        server.recv_into(memoryview(bytearray(10)), 0, socket.MSG_DONTWAIT)


def test_records_that_arrive_byte_by_byte_are_read_when_they_are_whole() -> None:
    wire, (ours, theirs) = socket.socketpair(), socket.socketpair()
    client = TlsSocket(wire[0], client_context(TLS), server_hostname=TLS.name)
    server = TlsSocket(ours, TLS.context)
    stop = threading.Event()
    threads = [threading.Thread(target=_trickle, args=ends) for ends in ((wire[1], theirs), (theirs, wire[1]))]
    threads += [threading.Thread(target=server.do_handshake)]
    for thread in threads:
        thread.start()
    client.do_handshake()
    threads[-1].join()
    client.sendall(b"hello")
    assert server.recv(5) == b"hello"
    client.sendall(b"again")
    window = bytearray(5)
    assert server.recv_into(memoryview(window)) == 5
    stop.set()
    client.close()
    server.close()
    for thread in threads:
        thread.join()
    for end in (wire[1], theirs):
        end.close()


def _trickle(source: socket.socket, target: socket.socket) -> None:
    """Passes bytes on one by one."""
    with_data = iter(lambda: source.recv(1), b"")
    try:
        for byte in with_data:
            target.sendall(byte)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("shut", ["close", "shutdown"])
def test_the_end_of_the_peer_is_the_end_of_the_stream_after_what_it_sent(pair: Pair, shut: str) -> None:
    server, client = pair
    client.sendall(b"last")
    client.close() if shut == "close" else client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b"last"
    assert [server.recv(100) for _ in range(3)] == [b"", b"", b""]
    assert server.recv_into(memoryview(bytearray(10))) == 0


def test_an_end_behind_a_filled_window_is_seen_next(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"last")
    client.close()
    assert server.recv_into(memoryview(bytearray(100))) == 4
    assert server.recv_into(memoryview(bytearray(100))) == 0


def test_one_thread_reads_while_another_writes(pair: Pair) -> None:
    server, client = pair
    data = os.urandom(2 << 20)
    there, back = received_by(server, len(data)), received_by(client, len(data))
    sender = threading.Thread(target=server.sendall, args=(data,))
    sender.start()
    client.sendall(data)
    sender.join()
    assert there() == data
    assert back() == data


def test_altered_bytes_are_an_error_and_not_data(pair: Pair) -> None:
    server, client = pair
    os.write(client.fileno(), b"\x17\x03\x03\x00\x20" + os.urandom(32))
    with pytest.raises(ssl.SSLError):
        server.recv(10)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\x16\x03\x01\xff\xff" + b"a" * 200])
def test_whoever_does_not_speak_tls_fails_the_handshake(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    server = TlsSocket(ours, TLS.context)
    theirs.sendall(garbage)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(OSError):
        server.do_handshake()
    ours.close()
    theirs.close()


def test_a_server_with_another_certificate_is_refused() -> None:
    ours, theirs = socket.socketpair()
    server = TlsSocket(ours, make_tls().context)
    client = TlsSocket(theirs, client_context(TLS), server_hostname=TLS.name)
    refused: list[bool] = []

    def serve() -> None:
        try:
            server.do_handshake()
            server.recv(1)
        except OSError:
            refused.append(True)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ssl.SSLCertVerificationError):
        client.do_handshake()
    theirs.close()
    thread.join()
    ours.close()


def test_every_cut_of_a_stream_of_buffers_arrives_whole(pair: Pair) -> None:
    server, client = pair
    sizes = list(itertools.chain(range(1, 40), [16383, 16384, 16385], range(130_000, 132_000, 331)))
    whole = b"".join(bytes([size % 251]) * size for size in sizes)
    result = received_by(client, len(whole))
    for size in sizes:
        server.sendall(bytes([size % 251]) * size)
    assert result() == whole
