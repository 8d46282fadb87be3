"""Which addresses, names and certificates a download accepts, whatever redirects and name servers say."""

from __future__ import annotations

import datetime
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from download_peer import Peer, assert_nothing_left, in_store, mar, opened, redirect, whole

from stoker.archive.download import Downloader, DownloadLimits
from stoker.archive.sources import AllowedUrls
from stoker.errors import DownloadFailed, UrlRefused


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"]
)
async def test_no_spelling_of_a_private_address_is_connected_to(tmp_path: Path, peer: Peer, host: str) -> None:
    peer.answer("/m.mar", whole(mar()))
    with opened(tmp_path, allow_private_urls=False) as store, pytest.raises(UrlRefused):
        await store.fetch_and_unpack(peer.url("/m.mar", host=host))
    assert peer.requests == []
    assert_nothing_left(tmp_path)


async def test_a_redirect_leads_only_where_the_first_url_could(tmp_path: Path, peer: Peer) -> None:
    peer.answer("/secret", whole(mar()))
    only_mar = f"http://127.0.0.1:{peer.port}/.*[.]mar"
    for where in ("file:///etc/passwd", peer.url("/secret"), "ftp://127.0.0.1/m.mar", "//127.0.0.1/secret"):
        with opened(tmp_path, allowed_urls=f"{only_mar}, file://.*") as store, pytest.raises(UrlRefused):
            await store.fetch_and_unpack(peer.answer("/m.mar", redirect(where)))
    assert all("secret" not in request for request in peer.requests)
    assert_nothing_left(tmp_path)


async def test_a_public_name_that_redirects_inside_is_refused(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hop passes as public; only the second one is caught, by its address."""
    peer.answer("/inside.mar", whole(mar()))
    peer.answer("/m.mar", redirect(peer.url("/inside.mar", host="127.0.0.2")))
    monkeypatch.setattr("stoker.archive.addresses.is_public", lambda address: address == "127.0.0.1")
    with opened(tmp_path, allow_private_urls=False) as store, pytest.raises(UrlRefused, match=r"127\.0\.0\.2"):
        await store.fetch_and_unpack(peer.url("/m.mar"))
    assert len(peer.requests) == 1
    assert_nothing_left(tmp_path)


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: whoever resolved the name a second time, to connect, would reach the inside."""
    peer.answer("/m.mar", whole(mar()))
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
    asked: list[str] = []

    def resolver(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr("stoker.archive.addresses.socket.getaddrinfo", resolver)
    monkeypatch.setattr("stoker.archive.addresses.is_public", lambda address: address == "127.0.0.1")
    connected: list[object] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        connected.append(address)
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    with opened(tmp_path, allow_private_urls=False) as store:
        unpacked = await store.fetch_and_unpack(peer.url("/m.mar", host="rebind.example"))
        assert unpacked.manifest.model_name == "m"
    assert asked == ["rebind.example"]
    assert connected == [("127.0.0.1", peer.port)]
    assert f"Host: rebind.example:{peer.port}" in peer.requests[0]


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for ``name`` and its key, both as PEM files."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("host", "accepted"), [("localhost", True), ("127.0.0.1", False)])
async def test_https_verifies_the_name_that_was_asked_for(
    tmp_path: Path, peer: Peer, host: str, accepted: bool
) -> None:
    cert, key = _certificate(tmp_path, "localhost")
    peer.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    peer.tls.load_cert_chain(cert, key)
    peer.answer("/m.mar", whole(mar()))
    (tmp_path / "store").mkdir()
    with ThreadPoolExecutor(1) as executor:
        downloader = Downloader(
            allowed=AllowedUrls.parse("https://.*"),
            allow_private=True,
            limits=DownloadLimits(),
            executor=executor,
            tls=ssl.create_default_context(cafile=cert),
        )
        url = f"https://{host}:{peer.port}/m.mar"
        if accepted:
            assert (await downloader.download(url, tmp_path / "store")).read_bytes() == mar()
        else:
            with pytest.raises(DownloadFailed):
                await downloader.download(url, tmp_path / "store")
            assert in_store(tmp_path) == []
