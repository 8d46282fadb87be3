"""Archives that are fetched: redirects, credentials, ends of bodies, and their names in the store."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import re
import zipfile
from pathlib import Path

import pytest
from download_peer import Peer, assert_nothing_left, in_store, mar, ok, opened, redirect, whole

from stoker.errors import ArchiveExists, ArchiveNotFound, DownloadFailed, UrlRefused


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
