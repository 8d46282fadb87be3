"""The server's side of a model's files: read once while they stay the same."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from stoker.archive import bundle
from stoker.archive.bundle import Bundle, Member
from stoker.archive.limits import UnpackLimits
from stoker.archive.threads import Stop
from stoker.errors import UnsafeArchive
from stoker.pool.remote.bundles import Bundles, ModelFiles


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


class Readings:
    """Counts how often all files are read."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, name: str, members: tuple[Member, ...], *, stop: Stop | None = None) -> Bundle:
        self.count += 1
        return bundle.seal(name, members, stop=stop)


def model(tmp_path: Path, executor: Executor) -> tuple[ModelFiles, Readings, Path]:
    folder, readings = tmp_path / "2f3c", Readings()
    folder.mkdir()
    (folder / "handler.py").write_bytes(b"x = 1")
    files = ModelFiles(folder, executor=executor, limits=UnpackLimits(), seal=readings)
    return files, readings, folder


async def test_workers_that_start_together_have_the_files_read_once(tmp_path: Path, executor: Executor) -> None:
    files, readings, _ = model(tmp_path, executor)
    made = await asyncio.gather(*(files.bundle() for _ in range(5)))
    assert (len(set(made)), readings.count) == (1, 1)


async def test_files_that_changed_are_read_again(tmp_path: Path, executor: Executor) -> None:
    """As a local worker sees them: a directory may be used in place."""
    files, readings, folder = model(tmp_path, executor)
    before = await files.bundle()
    (folder / "handler.py").write_bytes(b"x = 2")
    os.utime(folder / "handler.py", ns=(1, 1))
    assert (await files.bundle()).hash != before.hash
    (folder / "handler.py").write_bytes(b"x = 1")
    assert (await files.bundle()).hash == before.hash
    assert readings.count == 3


async def test_a_directory_used_in_place_keeps_its_name(tmp_path: Path, executor: Executor) -> None:
    """A handler may import it as a package. An archive is unpacked under another name at each registration."""
    unpacked, _, folder = model(tmp_path, executor)
    (tmp_path / "my_package").symlink_to(folder)
    in_place = ModelFiles(tmp_path / "my_package", executor=executor, limits=UnpackLimits())
    assert ((await in_place.bundle()).name, (await unpacked.bundle()).name) == ("my_package", "model")


async def test_what_cannot_be_sent_is_reported_and_may_be_put_right(tmp_path: Path, executor: Executor) -> None:
    files, _, folder = model(tmp_path, executor)
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnsafeArchive, match="pipe"):
        await files.bundle()
    (folder / "pipe").unlink()
    assert (await files.bundle()).size > 0


async def test_the_last_one_who_leaves_ends_the_reading(tmp_path: Path, executor: Executor) -> None:
    started, ended = threading.Event(), threading.Event()

    def endless(name: str, members: tuple[Member, ...], *, stop: Stop) -> Bundle:
        started.set()
        try:
            while True:
                stop.check()
        finally:
            ended.set()

    files = ModelFiles(tmp_path, executor=executor, limits=UnpackLimits(), seal=endless)
    reading = asyncio.ensure_future(files.bundle())
    await asyncio.to_thread(started.wait)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended.is_set()


async def test_models_that_were_not_asked_for_lately_are_forgotten(tmp_path: Path, executor: Executor) -> None:
    bundles = Bundles(executor=executor, limits=UnpackLimits())
    for number in range(65):
        (tmp_path / str(number)).mkdir()
        await bundles.of(str(tmp_path / str(number)))
        await bundles.of(str(tmp_path / "0"))
    assert (len(bundles._files), str(tmp_path / "0") in bundles._files, str(tmp_path / "1") in bundles._files) == (
        64,
        True,
        False,
    )
