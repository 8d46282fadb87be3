"""Servers that are wrong, slow, endless or silent, and callers that leave: an error, and nothing left."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest
from download_peer import Peer, assert_nothing_left, mar, ok, opened, redirect, whole

from stoker.archive.download import DownloadLimits
from stoker.errors import ArchiveUnreadable, DownloadFailed, InvalidArchive


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
