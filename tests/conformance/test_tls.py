"""TLS on REST and gRPC, with certificates of an authority: who is believed, who is let in, renewal under load."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import trustme
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from google.protobuf.empty_pb2 import Empty
from grpc_fakes import FakeInference, Ports, until
from http_fakes import FakeReadiness, HttpPorts

from stoker.config.address import Address
from stoker.config.settings import Settings
from stoker.frontend.auth import OpenAuthorizer
from stoker.frontend.grpc import engine_nghttp2
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.http.app import App
from stoker.frontend.http.inference import inference_api
from stoker.frontend.tls import Tls, listening_context, of_grpc, of_https
from stoker.protos import InferenceAPIsServiceStub
from stoker.protos import inference_pb2 as pb

REST = Settings(inference_address=Address("https", "127.0.0.1", 0))
GRPC = Settings(enable_grpc_ssl=True)
EMPTY = b""


@dataclass(frozen=True)
class Files:
    """What an operator has: the authority of the server, and that of its clients."""

    folder: Path
    authority: trustme.CA
    clients: trustme.CA

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def keystore(self) -> Path:
        return self.folder / "server.p12"

    @property
    def client_ca(self) -> Path:
        return self.folder / "clients.pem"

    def issue(self, authority: trustme.CA | None = None, **options: Any) -> int:
        """Puts a new certificate in place, atomically as an operator would, and tells its serial number."""
        leaf = (authority or self.authority).issue_cert("localhost", "127.0.0.1", **options)
        for path, content in (
            (self.certificate, b"".join(blob.bytes() for blob in leaf.cert_chain_pems)),
            (self.key, leaf.private_key_pem.bytes()),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)
        return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number

    def settings(self, kind: Settings, *, mutual: bool = False) -> Settings:
        return replace(
            kind,
            certificate_file=self.certificate,
            private_key_file=self.key,
            client_ca_file=self.client_ca if mutual else None,
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path, trustme.CA(), trustme.CA())
    made.issue()
    made.clients.cert_pem.write_to_path(made.client_ca)
    return made


def client_context(*authorities: trustme.CA, identity: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in authorities:
        authority.configure_trust(context)
    if identity is not None:
        identity.configure_cert(context)
    return context


def expired(authority: trustme.CA) -> trustme.LeafCert:
    ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=2)
    end = ago + datetime.timedelta(days=1)
    return authority.issue_cert("client@example.org", not_before=ago, not_after=end)


# ---------------------------------------------------------------------------------------------------- REST


@asynccontextmanager
async def rest(settings: Settings) -> AsyncIterator[tuple[int, Tls]]:
    tls = of_https(settings)
    assert tls is not None
    api = inference_api(FakeInference(), authorizer=OpenAuthorizer(), readiness=FakeReadiness())
    listening = HttpPorts().listener(settings.inference_address, app=App([api]), tls=listening_context(tls))
    async with listening as listener:
        yield listener.port, tls


def ask(port: int, context: ssl.SSLContext, host: str = "localhost") -> tuple[int, str, int]:
    """Status of a ping over a connection of its own, TLS version, serial number of the server's certificate."""
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=30)
    try:
        connection.request("GET", "/ping")
        status = connection.getresponse().status
        return status, *seen(connection)
    finally:
        connection.close()


def seen(connection: http.client.HTTPSConnection) -> tuple[str, int]:
    secured = connection.sock
    assert isinstance(secured, ssl.SSLSocket)
    certificate = secured.getpeercert(binary_form=True)
    assert certificate is not None
    return str(secured.version()), x509.load_der_x509_certificate(certificate).serial_number


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_rest_answers_over_tls_with_and_without_a_server_name(files: Files, host: str) -> None:
    async with rest(files.settings(REST)) as (port, _):
        status, version, _ = await asyncio.to_thread(ask, port, client_context(files.authority), host)
        assert (status, version) == (200, "TLSv1.3")


async def test_rest_speaks_tls_1_2_with_forward_secrecy(files: Files) -> None:
    context = client_context(files.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with rest(files.settings(REST)) as (port, _):
        assert (await asyncio.to_thread(ask, port, context))[:2] == (200, "TLSv1.2")
        context.set_ciphers("AES128-SHA256:AES256-GCM-SHA384")  # RSA key exchange: without
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(ask, port, context)


def old_client(authority: trustme.CA, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context(authority)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def by_the_server(error: BaseException) -> bool:
    """An alert or an end of the connection, by the names of several Pythons: not a client without such a version."""
    return isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
    ) or "ALERT_PROTOCOL_VERSION" in str(error)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_rest_refuses_old_versions_of_tls(files: Files, version: ssl.TLSVersion) -> None:
    context = old_client(files.authority, version)
    async with rest(files.settings(REST)) as (port, _):
        with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            await asyncio.to_thread(ask, port, context)
        assert by_the_server(caught.value)


async def test_a_client_that_trusts_another_authority_does_not_believe_rest(files: Files) -> None:
    async with rest(files.settings(REST)) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(ask, port, client_context(trustme.CA()))
        assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[0] == 200


async def test_a_certificate_of_tomorrow_is_refused_by_clients_and_told_in_the_log(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock may be wrong, here or where the certificate was made: that is no reason not to start."""
    now = datetime.datetime.now(datetime.timezone.utc)
    files.issue(not_before=now + datetime.timedelta(days=1), not_after=now + datetime.timedelta(days=30))
    async with rest(files.settings(REST)) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
            await asyncio.to_thread(ask, port, client_context(files.authority))
    assert "clients will refuse it until then" in caplog.text


async def test_rest_lets_in_only_clients_of_the_given_authority(files: Files) -> None:
    known = files.clients.issue_cert("client@example.org")
    stranger = trustme.CA().issue_cert("stranger@example.org")
    async with rest(files.settings(REST, mutual=True)) as (port, _):
        assert (await asyncio.to_thread(ask, port, client_context(files.authority, identity=known)))[0] == 200
        for identity in (None, stranger, expired(files.clients)):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(ask, port, client_context(files.authority, identity=identity))


async def test_an_authority_that_is_no_longer_listed_lets_nobody_in_also_by_an_old_session(files: Files) -> None:
    known = client_context(files.authority, identity=files.clients.issue_cert("client@example.org"))
    async with rest(files.settings(REST, mutual=True)) as (port, tls):
        assert (await asyncio.to_thread(ask, port, known))[0] == 200
        trustme.CA().cert_pem.write_to_path(files.client_ca)
        tls.reload()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(ask, port, known)


async def test_plain_http_on_a_tls_port_is_told_to_use_https(files: Files) -> None:
    def plainly(port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/predictions/m", bytes(3_000_000))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    async with rest(files.settings(REST)) as (port, _):
        assert await asyncio.to_thread(plainly, port) == (400, b"This port speaks TLS: use https://\n")
        assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[0] == 200


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on_under_load(files: Files) -> None:
    """Every request of a connection that was open before and of those opened meanwhile is answered."""
    context = client_context(files.authority)
    answers: list[tuple[int, str, int]] = []
    stop = False

    def load(port: int) -> None:
        while not stop:
            answers.append(ask(port, context))

    async with rest(files.settings(REST)) as (port, tls):
        before = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
        old = (await asyncio.to_thread(ping, before))[1]
        loads = [asyncio.create_task(asyncio.to_thread(load, port)) for _ in range(2)]
        serials = [old]
        for _ in range(3):
            await until(lambda: any(serial == serials[-1] for _, _, serial in answers))
            serials.append(files.issue())
            await asyncio.to_thread(tls.reload)
        await until(lambda: any(serial == serials[-1] for _, _, serial in answers))
        stop = True
        await asyncio.gather(*loads)
        assert (await asyncio.to_thread(ping, before)) == (200, old)
        before.close()
    assert {status for status, _, _ in answers} == {200}
    assert {serial for _, _, serial in answers} == set(serials)


def ping(connection: http.client.HTTPSConnection) -> tuple[int, int]:
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    answer.read()
    return answer.status, seen(connection)[1]


@pytest.mark.parametrize("damage", ["cut", "other key", "gone"])
async def test_a_broken_renewal_keeps_the_old_certificate(
    files: Files, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with rest(files.settings(REST)) as (port, tls):
        before = await asyncio.to_thread(ask, port, client_context(files.authority))
        if damage == "cut":
            files.certificate.write_bytes(files.certificate.read_bytes()[:100])
        elif damage == "other key":
            files.key.write_bytes(files.authority.issue_cert("localhost").private_key_pem.bytes())
        else:
            files.key.unlink()
        tls.reload()
        assert await asyncio.to_thread(ask, port, client_context(files.authority)) == before
    assert "the old one stays" in caplog.text


def write_keystore(files: Files, password: bytes = b"changeit") -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    certificate, *chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    content = pkcs12.serialize_key_and_certificates(
        b"server",
        key,
        certificate,
        chain,
        serialization.BestAvailableEncryption(password),  # type: ignore[arg-type]
    )
    files.keystore.write_bytes(content)


async def test_rest_takes_the_keystore_before_the_pem_files(files: Files) -> None:
    in_keystore = files.issue()
    write_keystore(files)
    files.issue()
    async with rest(replace(files.settings(REST), keystore=files.keystore)) as (port, _):
        assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[2] == in_keystore


async def test_https_without_a_certificate_makes_one_for_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    async with rest(REST) as (port, tls):
        context = ssl.create_default_context(cadata=tls.identity.chain.decode())
        for host in ("localhost", "127.0.0.1"):
            assert (await asyncio.to_thread(ask, port, context, host))[0] == 200
    assert "nobody has signed" in caplog.text


# ---------------------------------------------------------------------------------------------------- gRPC


@asynccontextmanager
async def grpc_server(
    settings: Settings,
    engine: str = "nghttp2",
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> AsyncIterator[tuple[GrpcServer, Tls]]:
    tls = of_grpc(settings)
    assert tls is not None
    ports = Ports(engine)
    ports.inference.on_submit = lambda submission: submission.answer(b"fine")
    async with ports.server(tls=tls, limits=limits) as server:
        yield server, tls


async def predict(
    port: int, authority: trustme.CA, identity: trustme.LeafCert | None = None, data: bytes = b"in"
) -> bytes:
    """Over a connection of its own."""
    credentials = grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        *((identity.private_key_pem.bytes(), identity.cert_chain_pems[0].bytes()) if identity else ()),
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
        call = InferenceAPIsServiceStub(channel).Predictions(
            pb.PredictionsRequest(model_name="m", input={"data": data}), timeout=30
        )
        return bytes((await call).prediction)


async def is_refused(attempt: Callable[[], Any]) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await attempt()
    return bool(caught.value.code() is grpc.StatusCode.UNAVAILABLE)


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


# ---------------------------------------------------------------------- gRPC: TLS of the server's own loop

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


def answer_to(port: int, sent: bytes) -> bytes:
    """What a plain socket gets until it is closed."""
    with socket.create_connection(("localhost", port), timeout=30) as sock:
        sock.sendall(sent)
        try:
            return b"".join(iter(lambda: sock.recv(1000), b""))
        except ConnectionError:
            return b""


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
    monkeypatch.setattr(engine_nghttp2, "_FLUSH_S", 1000.0)
    credentials = grpc.ssl_channel_credentials(files.authority.cert_pem.bytes())
    async with AsyncExitStack() as channels, grpc_server(files.settings(GRPC)) as (server, _):
        for number in range(10):
            options = [("grpc.use_local_subchannel_pool", 1), ("number", number)]
            made = grpc.aio.secure_channel(f"localhost:{server.port}", credentials, options)
            channel = await channels.enter_async_context(made)
            assert (await InferenceAPIsServiceStub(channel).Ping(Empty(), timeout=30)).health
