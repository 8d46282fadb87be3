"""Listeners over TLS with an operator's certificates, and their clients."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from grpc_fakes import FakeInference, FakeReadiness, Ports
from http_fakes import HttpPorts

from stoker.config.address import Address
from stoker.config.settings import Settings
from stoker.frontend.auth import OpenAuthorizer
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.http.app import App
from stoker.frontend.http.inference import inference_api
from stoker.frontend.tls import Tls, listening_context, of_grpc, of_https
from stoker.protos import InferenceAPIsServiceStub
from stoker.protos import inference_pb2 as pb

REST = Settings(inference_address=Address("https", "127.0.0.1", 0))
GRPC = Settings(enable_grpc_ssl=True)


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


def write_keystore(files: Files, password: bytes = b"changeit") -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    certificate, *chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    content = pkcs12.serialize_key_and_certificates(
        b"server",
        key,  # type: ignore[arg-type]  # an elliptic curve's
        certificate,
        chain,
        serialization.BestAvailableEncryption(password),
    )
    files.keystore.write_bytes(content)


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


def answer_to(port: int, sent: bytes) -> bytes:
    """What a plain socket gets until it is closed."""
    with socket.create_connection(("localhost", port), timeout=30) as sock:
        sock.sendall(sent)
        try:
            return b"".join(iter(lambda: sock.recv(1000), b""))
        except ConnectionError:
            return b""
