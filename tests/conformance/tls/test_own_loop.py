"""TLS on gRPC by the server's own loop: what is agreed on, and connections that never become calls."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import struct
from contextlib import AsyncExitStack

import grpc
import psutil
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_fakes import Ports
from tls_servers import GRPC, Files, answer_to, client_context, grpc_server, predict
from waiting import until

from stoker.frontend.grpc import engine_nghttp2
from stoker.frontend.grpc.limits import Limits
from stoker.protos import InferenceAPIsServiceStub

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
SETTINGS_FRAME = 4


def greeting(port: int, context: ssl.SSLContext, protocols: list[str]) -> tuple[str | None, int]:
    """The protocol that was agreed on, and the kind of the server's first frame."""
    if protocols:
        context.set_alpn_protocols(protocols)
    with (
        socket.create_connection(("localhost", port), timeout=30) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        secured.sendall(PREFACE)
        return secured.selected_alpn_protocol(), secured.recv(100)[3]


@pytest.mark.parametrize(
    ("protocols", "agreed"), [(["h2"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], None), ([], None)]
)
async def test_grpc_agrees_on_http2_and_serves_who_speaks_it_without_saying_so(
    files: Files, protocols: list[str], agreed: str | None
) -> None:
    async with grpc_server(files.settings(GRPC)) as (server, _):
        found = await asyncio.to_thread(greeting, server.port, client_context(files.authority), protocols)
        assert found == (agreed, SETTINGS_FRAME)


async def test_grpc_speaks_tls_1_2_with_forward_secrecy(files: Files) -> None:
    context = client_context(files.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with grpc_server(files.settings(GRPC)) as (server, _):
        assert await asyncio.to_thread(greeting, server.port, context, ["h2"]) == ("h2", SETTINGS_FRAME)
        context.set_ciphers("AES128-SHA256:AES256-GCM-SHA384")  # RSA key exchange: without
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(greeting, server.port, context, ["h2"])


async def test_an_http1_client_of_the_grpc_port_is_told_over_tls(files: Files) -> None:
    async with grpc_server(files.settings(GRPC)) as (server, _):
        connection = http.client.HTTPSConnection(
            "localhost", server.port, context=client_context(files.authority), timeout=30
        )
        await asyncio.to_thread(connection.request, "GET", "/ping")
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:20]) == (400, b"This port speaks gRP")
        connection.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (PREFACE, b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x00\x05junk!", b"\x15\x03"),  # an alert
        (b"\x00\x01", b""),
    ],
)
async def test_what_is_no_tls_is_refused_by_the_tls_port(files: Files, sent: bytes, answer: bytes) -> None:
    async with grpc_server(files.settings(GRPC)) as (server, _):
        assert (await asyncio.to_thread(answer_to, server.port, sent))[: len(answer) or None] == answer
        assert await predict(server.port, files.authority) == b"fine"


async def test_tls_is_closed_by_the_plain_port(files: Files) -> None:
    async with Ports("nghttp2").server() as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(greeting, server.port, client_context(files.authority), ["h2"])


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
async def test_a_handshake_that_is_not_finished_in_time_is_dropped(
    files: Files, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with grpc_server(files.settings(GRPC), limits=Limits(handshake_s=0.5)) as (server, _):
        assert await asyncio.to_thread(answer_to, server.port, sent) == b""
        assert await predict(server.port, files.authority) == b"fine"
    assert "Traceback" not in caplog.text


async def test_handshakes_that_nobody_finishes_keep_no_one_out(files: Files) -> None:
    """They count as connections, and the oldest gives way."""
    async with (
        AsyncExitStack() as stack,
        grpc_server(files.settings(GRPC), limits=Limits(connections=8)) as (server, _),
    ):
        for number in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            if number % 2:
                writer.write(b"\x16\x03\x01\x02\x00")
        for _ in range(3):
            assert await predict(server.port, files.authority) == b"fine"


def come_and_go(port: int, context: ssl.SSLContext, count: int) -> None:
    """Every other one is reset."""
    for number in range(count):
        sock = socket.create_connection(("localhost", port), timeout=30)
        secured = context.wrap_socket(sock, server_hostname="localhost")
        secured.sendall(PREFACE)
        if number % 2:
            secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        secured.close()


async def test_quick_tls_connections_leave_no_descriptor_and_no_memory(files: Files) -> None:
    me, context = psutil.Process(), client_context(files.authority)
    async with grpc_server(files.settings(GRPC)) as (server, _):
        await asyncio.to_thread(come_and_go, server.port, context, 50)
        files_before, bytes_before = me.num_fds(), me.memory_info().rss
        await asyncio.to_thread(come_and_go, server.port, context, 200)
        await until(lambda: me.num_fds() <= files_before)
        assert me.memory_info().rss - bytes_before < 8 << 20  # a connection's state is some 50 KiB


async def test_a_stop_does_not_wait_for_idle_tls_connections(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_nghttp2, "FLUSH_S", 1000.0)
    credentials = grpc.ssl_channel_credentials(files.authority.cert_pem.bytes())
    async with AsyncExitStack() as channels, grpc_server(files.settings(GRPC)) as (server, _):
        for number in range(10):
            options = [("grpc.use_local_subchannel_pool", 1), ("number", number)]
            made = grpc.aio.secure_channel(f"localhost:{server.port}", credentials, options)
            channel = await channels.enter_async_context(made)
            assert (await InferenceAPIsServiceStub(channel).Ping(Empty(), timeout=30)).health
