"""Downloads from servers that are slow, wrong or hostile. All of them listen on loopback, on a free port."""

from __future__ import annotations

import asyncio
import base64
import datetime
import io
import json
import logging
import re
import socket
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from stoker.archive.download import Downloader, DownloadLimits
from stoker.archive.sources import AllowedUrls
from stoker.archive.store import ModelStore
from stoker.errors import ArchiveExists, ArchiveNotFound, ArchiveUnreadable, DownloadFailed, InvalidArchive, UrlRefused

Script = Callable[[socket.socket], None]


@cache
def mar() -> bytes:
    """Once: an archive holds the time of its making."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        manifest = {"runtime": "python", "model": {"modelName": "m", "handler": "h.py"}}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("h.py", "x = 1\n" * 1000)
    return buffer.getvalue()


class Peer:
    """Reads one request per connection, records it, and lets the script of its path answer in raw bytes."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.scripts: dict[str, Script] = {}
        self.released = threading.Event()
        self.tls: ssl.SSLContext | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def answer(self, path: str, data: bytes) -> str:
        def script(connection: socket.socket) -> None:
            connection.sendall(data)

        self.scripts[path] = script
        return self.url(path)

    def stall_after(self, path: str, data: bytes) -> str:
        def script(connection: socket.socket) -> None:
            connection.sendall(data)
            self.released.wait()

        self.scripts[path] = script
        return self.url(path)

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection as plain:
            try:
                connection = plain if self.tls is None else self.tls.wrap_socket(plain, server_side=True)
                request = b""
                while b"\r\n\r\n" not in request:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    request += piece
                text = request.decode("latin-1")
                self.requests.append(text)
                self.scripts[text.split(" ")[1].partition("?")[0]](connection)
            except OSError:
                pass  # the other side left, as some tests want it to
            finally:
                connection.close()

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
        for thread in self._threads:
            thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    thread = threading.Thread(target=peer.run)
    thread.start()
    yield peer
    peer.close()
    thread.join()


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def whole(body: bytes) -> bytes:
    return ok(body, f"Content-Length: {len(body)}")


def redirect(where: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def opened(folder: Path, **options: object) -> Iterator[ModelStore]:
    (folder / "store").mkdir(exist_ok=True)
    options.setdefault("allowed_urls", "http://.*")
    options.setdefault("allow_private_urls", True)
    store = ModelStore(folder / "store", temp_dir=folder / "tmp", **options)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def in_store(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "store").iterdir())


def assert_nothing_left(folder: Path) -> None:
    assert in_store(folder) == []
    assert list((folder / "tmp").glob("*")) == []


# ----------------------------------------------------------------------------------------- what works


async def test_an_archive_is_fetched_into_the_store_and_unpacked(tmp_path: Path, peer: Peer) -> None:
    url = peer.answer("/a/m.mar", whole(mar()))
    with opened(tmp_path) as store:
        unpacked = await store.fetch_and_unpack(url)
        assert unpacked.manifest.model_name == "m"
        assert unpacked.downloaded == tmp_path / "store" / "m.mar"
        assert unpacked.downloaded.read_bytes() == mar()
        assert in_store(tmp_path) == ["m.mar"]
        store.discard(unpacked, delete_download=True)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        ok(mar()),  # ends with the connection
        ok(f"{len(mar()):x}\r\n".encode() + mar() + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        whole(mar()).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["until close", "chunked", "http 1.0"],
)
async def test_every_way_of_http_to_end_a_body_is_understood(tmp_path: Path, peer: Peer, data: bytes) -> None:
    with opened(tmp_path) as store:
        assert (await store.fetch_and_unpack(peer.answer("/m.mar", data))).manifest.model_name == "m"


async def test_redirects_are_followed_and_the_first_url_gives_the_name(tmp_path: Path, peer: Peer) -> None:
    peer.answer("/other.bin", whole(mar()))
    peer.answer("/hop", redirect("other.bin", 307))
    with opened(tmp_path) as store:
        await store.fetch_and_unpack(peer.answer("/m.mar", redirect(peer.url("/hop"))))
    assert in_store(tmp_path) == ["m.mar"]


async def test_credentials_are_sent_to_their_host_only_and_never_logged(
    tmp_path: Path, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.answer("/second", whole(mar()))
    peer.answer("/m.mar", redirect(peer.url("/second")))
    with opened(tmp_path) as store, caplog.at_level(logging.DEBUG):
        unpacked = await store.fetch_and_unpack(peer.url("/m.mar?sig=hidden", host="me:s%20ecret@127.0.0.1"))
    assert base64.b64encode(b"me:s ecret").decode() in peer.requests[0]
    assert "Authorization" not in peer.requests[1]
    assert "sig=hidden" in peer.requests[0]
    assert "ecret" not in caplog.text
    assert "hidden" not in caplog.text
    assert "ecret" not in unpacked.url
    assert "hidden" not in unpacked.url


AWS = {
    "AWS_ACCESS_KEY_ID": "AKID",
    "AWS_SECRET_ACCESS_KEY": "hidden",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_SESSION_TOKEN": "",
}


async def test_a_download_from_s3_is_signed_for_its_own_host_only(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    peer.answer("/elsewhere", whole(mar()))
    peer.answer("/here", redirect(peer.url("/elsewhere", host="localhost")))
    peer.answer("/m.mar", redirect(peer.url("/here")))
    with opened(tmp_path) as store, caplog.at_level(logging.DEBUG):
        await store.fetch_and_unpack(peer.url("/m.mar"), for_s3=True)
    first, second, third = peer.requests
    for signed in (first, second):
        assert re.search(r"Authorization: AWS4-HMAC-SHA256 Credential=AKID/\d{8}/eu-west-1/s3/aws4_request,", signed)
        assert "x-amz-content-sha256: " in signed and "x-amz-date: " in signed
    assert "Authorization" not in third and "x-amz" not in third
    assert "hidden" not in caplog.text and not any("hidden" in request for request in peer.requests)


async def test_without_credentials_nothing_is_asked_of_s3(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    with opened(tmp_path) as store, pytest.raises(DownloadFailed, match=r"^Failed to download archive from: http://"):
        await store.fetch_and_unpack(peer.answer("/m.mar", whole(mar())), for_s3=True)
    assert peer.requests == []
    assert "AWS_DEFAULT_REGION" in caplog.text
    assert_nothing_left(tmp_path)


async def test_progress_is_logged_in_tenths(tmp_path: Path, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.bin", bytes(4 << 20))
    url = peer.answer("/big.mar", whole(buffer.getvalue()))
    with opened(tmp_path) as store, caplog.at_level(logging.INFO):
        await store.fetch_and_unpack(url)
    lines = [record.getMessage() for record in caplog.records if "MB" in record.getMessage()]
    assert 3 <= len(lines) <= 10
    assert lines[-1].endswith("(100 %)")


async def test_a_file_url_is_copied_only_where_a_pattern_names_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.mar").write_bytes(mar())
    url = f"file://{tmp_path}/elsewhere.mar"
    with opened(tmp_path, allowed_urls=".*") as store, pytest.raises(UrlRefused):
        await store.fetch_and_unpack(url)
    with opened(tmp_path, allowed_urls="file://.*") as store:
        unpacked = await store.fetch_and_unpack(url)
        store.discard(unpacked, delete_download=True)
        for bad in (f"file://{tmp_path}/nope.mar", f"file://host{tmp_path}/elsewhere.mar", f"file://{tmp_path}"):
            with pytest.raises(DownloadFailed):
                await store.fetch_and_unpack(bad)
    assert (tmp_path / "elsewhere.mar").exists()
    assert_nothing_left(tmp_path)


# ------------------------------------------------------------------------------------ wrong answers


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        ok(mar(), f"Content-Length: {len(mar()) + 1}"),
        ok(mar(), "Content-Length: -5"),
        ok(mar(), "Content-Length: 1_0"),
        ok(mar(), "Content-Length: 10", "Content-Length: 20"),
        ok(mar(), f"Content-Length: {len(mar())}", "Content-Encoding: gzip"),
        ok(b"ffff\r\nshort", "Transfer-Encoding: chunked"),
        ok(b"zz\r\n", "Transfer-Encoding: chunked"),
        ok(b"", *(f"X-{i}: y" for i in range(200))),
        ok(b"", "X: " + "y" * 70_000),
    ],
)
async def test_an_answer_that_is_no_archive_leaves_nothing(tmp_path: Path, peer: Peer, data: bytes) -> None:
    url = peer.answer("/m.mar", data)
    with opened(tmp_path) as store:
        with pytest.raises(DownloadFailed) as failure:
            await store.fetch_and_unpack(url)
        assert failure.value.message == f"Failed to download archive from: {url}"
    assert_nothing_left(tmp_path)


async def test_a_download_that_is_no_archive_does_not_stay_in_the_store(tmp_path: Path, peer: Peer) -> None:
    with opened(tmp_path) as store, pytest.raises(InvalidArchive):
        await store.fetch_and_unpack(peer.answer("/m.mar", whole(b"<html>login</html>")))
    assert_nothing_left(tmp_path)


async def test_a_port_where_nobody_listens_is_a_failed_download(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with opened(tmp_path) as store:
        with pytest.raises(DownloadFailed):
            await store.fetch_and_unpack(f"http://127.0.0.1:{port}/m.mar")
        with pytest.raises(DownloadFailed):
            await store.fetch_and_unpack("http://127.0.0.1:99999/m.mar")
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("path", ["", "/", "/m.mar/", "/.hidden.mar", "/" + "x" * 300])
async def test_a_url_without_a_usable_file_name_is_a_failed_download(tmp_path: Path, peer: Peer, path: str) -> None:
    with opened(tmp_path) as store, pytest.raises(DownloadFailed):
        await store.fetch_and_unpack(peer.url(path))
    assert peer.requests == []
    assert_nothing_left(tmp_path)


# --------------------------------------------------------------------------------------------- limits


async def test_a_size_limit_holds_with_and_without_content_length(tmp_path: Path, peer: Peer) -> None:
    limits = DownloadLimits(max_bytes=1000)
    with opened(tmp_path, download_limits=limits) as store:
        for data in (whole(bytes(1001)), ok(bytes(100_000))):
            with pytest.raises(DownloadFailed):
                await store.fetch_and_unpack(peer.answer("/m.mar", data))
    assert_nothing_left(tmp_path)


async def test_an_endless_body_ends_at_the_limit(tmp_path: Path, peer: Peer) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(ok(b""))
        while True:
            connection.sendall(bytes(65536))

    peer.scripts["/m.mar"] = endless
    limits = DownloadLimits(max_bytes=1 << 20)
    with opened(tmp_path, download_limits=limits) as store, pytest.raises(DownloadFailed):
        await store.fetch_and_unpack(peer.url("/m.mar"))
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", ok(b"PK", "Content-Length: 1000")])
async def test_a_server_that_falls_silent_is_left(tmp_path: Path, peer: Peer, sent: bytes) -> None:
    url = peer.stall_after("/m.mar", sent)
    with opened(tmp_path, download_limits=DownloadLimits(stall_s=0.2)) as store, pytest.raises(DownloadFailed):
        await store.fetch_and_unpack(url)
    assert_nothing_left(tmp_path)


async def test_a_server_that_sends_byte_by_byte_meets_the_time_limit(tmp_path: Path, peer: Peer) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not peer.released.wait(0.02):
            connection.sendall(b"y")

    peer.scripts["/m.mar"] = drip
    with opened(tmp_path, download_limits=DownloadLimits(total_s=0.5)) as store, pytest.raises(DownloadFailed):
        await store.fetch_and_unpack(peer.url("/m.mar"))
    assert_nothing_left(tmp_path)


async def test_redirects_in_a_circle_end(tmp_path: Path, peer: Peer) -> None:
    with opened(tmp_path) as store, pytest.raises(DownloadFailed):
        await store.fetch_and_unpack(peer.answer("/m.mar", redirect("/m.mar")))
    assert len(peer.requests) == 6
    assert_nothing_left(tmp_path)


async def test_a_full_disk_is_an_error_of_ours_and_leaves_nothing(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    url = peer.answer("/m.mar", whole(mar()))
    with opened(tmp_path) as store, monkeypatch.context() as patch:
        patch.setattr("stoker.archive.placing.os.write", full)
        with pytest.raises(ArchiveUnreadable, match="Failed to save model"):
            await store.fetch_and_unpack(url)
    assert_nothing_left(tmp_path)


# ---------------------------------------------------------------------------------------------- cancel


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", ok(mar()[:100], "Content-Length: 10000")])
async def test_a_cancelled_download_ends_at_once_and_leaves_nothing(tmp_path: Path, peer: Peer, sent: bytes) -> None:
    reached = threading.Event()
    peer.stall_after("/m.mar", sent)
    stall = peer.scripts["/m.mar"]

    def script(connection: socket.socket) -> None:
        reached.set()
        stall(connection)

    peer.scripts["/m.mar"] = script
    with opened(tmp_path) as store:
        task = asyncio.create_task(store.fetch_and_unpack(peer.url("/m.mar")))
        await asyncio.to_thread(reached.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_nothing_left(tmp_path)


# -------------------------------------------------------------------------------------- where it may go


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


# ------------------------------------------------------------------------------------- names in the store


async def test_a_file_that_is_there_is_never_replaced(tmp_path: Path, peer: Peer) -> None:
    url = peer.answer("/m.mar", whole(mar()))
    with opened(tmp_path) as store:
        (tmp_path / "store" / "m.mar").write_bytes(b"the operator's")
        with pytest.raises(ArchiveExists, match=r"^Model file already exists m\.mar$"):
            await store.fetch_and_unpack(url)
        with pytest.raises(UrlRefused):
            await store.fetch_and_unpack("https://host.example/m.mar")
    assert (tmp_path / "store" / "m.mar").read_bytes() == b"the operator's"
    assert peer.requests == []


async def test_of_two_downloads_of_one_name_one_wins(tmp_path: Path, peer: Peer) -> None:
    url = peer.answer("/m.mar", whole(mar()))
    with opened(tmp_path) as store:
        results = await asyncio.gather(*(store.fetch_and_unpack(url) for _ in range(5)), return_exceptions=True)
    kinds = sorted(type(result).__name__ for result in results)
    assert kinds == ["ArchiveExists"] * 4 + ["Unpacked"]
    assert in_store(tmp_path) == ["m.mar"]


async def test_a_scheme_that_is_not_known_is_a_name_that_is_not_there(tmp_path: Path) -> None:
    refused = pytest.raises(ArchiveNotFound, match=r"Model not found at: ftp://host/m\.mar")
    with opened(tmp_path, allowed_urls=".*") as store, refused:
        await store.fetch_and_unpack("ftp://host/m.mar")


# ------------------------------------------------------------------------------------------------- TLS


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
