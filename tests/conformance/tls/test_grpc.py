"""TLS on gRPC, with certificates of an authority: who is believed, who is let in, renewal under load."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace

import grpc
import pytest
import trustme
import uvloop
from cryptography import x509
from grpc_fakes import Ports
from tls_servers import (
    GRPC,
    REST,
    Files,
    answer_to,
    ask,
    by_the_server,
    client_context,
    expired,
    grpc_server,
    is_refused,
    old_client,
    predict,
    rest,
    write_keystore,
)
from waiting import until

from stoker.frontend.tls import of_grpc
from stoker.protos import InferenceAPIsServiceStub
from stoker.protos import inference_pb2 as pb


def shown_serial(port: int, context: ssl.SSLContext) -> int:
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("localhost", port), timeout=30) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        return x509.load_der_x509_certificate(certificate).serial_number


async def test_grpc_answers_over_tls_to_who_trusts_its_authority(engine: str, files: Files) -> None:
    async with grpc_server(files.settings(GRPC), engine) as (server, _):
        assert await predict(server.port, files.authority) == b"fine"
        assert await is_refused(lambda: predict(server.port, trustme.CA()))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as plain:
            stub = InferenceAPIsServiceStub(plain)
            assert await is_refused(lambda: stub.Predictions(pb.PredictionsRequest(), timeout=30))
        assert await predict(server.port, files.authority) == b"fine"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_grpc_refuses_old_versions_of_tls(engine: str, files: Files, version: ssl.TLSVersion) -> None:
    context = old_client(files.authority, version)
    async with grpc_server(files.settings(GRPC), engine) as (server, _):
        with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            await asyncio.to_thread(shown_serial, server.port, context)
        assert by_the_server(caught.value)


async def test_grpc_lets_in_only_clients_of_the_given_authority(engine: str, files: Files) -> None:
    known = files.clients.issue_cert("client@example.org")
    stranger = trustme.CA().issue_cert("stranger@example.org")
    async with grpc_server(files.settings(GRPC, mutual=True), engine) as (server, tls):
        assert await predict(server.port, files.authority, known) == b"fine"
        assert await is_refused(lambda: predict(server.port, files.authority, None))
        assert await is_refused(lambda: predict(server.port, files.authority, stranger))
        assert await is_refused(lambda: predict(server.port, files.authority, expired(files.clients)))
        trustme.CA().cert_pem.write_to_path(files.client_ca)
        tls.reload()
        assert await is_refused(lambda: predict(server.port, files.authority, known))


async def test_a_renewed_certificate_is_shown_to_new_grpc_connections_and_no_request_is_lost(
    engine: str, files: Files
) -> None:
    stop = False
    answers: list[bytes] = []

    async def load(port: int) -> None:
        while not stop:
            answers.append(await predict(port, files.authority))

    async with grpc_server(files.settings(GRPC), engine) as (server, tls):
        context = client_context(files.authority)
        loads = [asyncio.create_task(load(server.port)) for _ in range(2)]
        for _ in range(3):
            serial = files.issue()
            await asyncio.to_thread(tls.reload)
            assert await asyncio.to_thread(shown_serial, server.port, context) == serial
            count = len(answers)
            await until(lambda count=count: len(answers) > count + 2)  # type: ignore[misc]
        stop = True
        await asyncio.gather(*loads)
    assert set(answers) == {b"fine"}


async def test_grpc_takes_the_keystore_where_there_are_no_pem_files(engine: str, files: Files) -> None:
    write_keystore(files)
    async with grpc_server(replace(GRPC, keystore=files.keystore), engine) as (server, _):
        assert await predict(server.port, files.authority) == b"fine"


async def test_grpc_takes_the_keystore_and_asks_clients_for_a_certificate(engine: str, files: Files) -> None:
    write_keystore(files)
    known = files.clients.issue_cert("client@example.org")
    settings = replace(GRPC, keystore=files.keystore, client_ca_file=files.client_ca)
    async with grpc_server(settings, engine) as (server, _):
        assert await predict(server.port, files.authority, known) == b"fine"
        assert await is_refused(lambda: predict(server.port, files.authority))


def test_tls_works_on_the_servers_own_loop_too(files: Files) -> None:
    """The server runs on uvloop, whose transports are not asyncio's."""
    large = bytes(range(256)) * 12_000

    async def serve() -> None:
        async with grpc_server(files.settings(GRPC)) as (server, _):
            ports = Ports("nghttp2")
            ports.inference.on_submit = lambda submission: submission.answer(submission.inputs["data"])
            async with ports.server(tls=of_grpc(files.settings(GRPC))) as echo:
                assert await predict(echo.port, files.authority, data=large) == large
            assert await is_refused(lambda: predict(server.port, trustme.CA()))
            assert (await asyncio.to_thread(answer_to, server.port, b"GET / HTTP/1.1"))[:13] == b"HTTP/1.1 400 "
            assert await predict(server.port, files.authority) == b"fine"
        async with rest(files.settings(REST)) as (port, _):
            assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[0] == 200

    uvloop.run(serve())
