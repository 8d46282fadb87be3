"""Files that are renewed under a running server are noticed."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from stoker.frontend.watch import FileWatch


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_only_a_change_is_reported(tmp_path: Path) -> None:
    changed, file = Counter(), tmp_path / "file"
    watch = FileWatch([file], changed)
    watch.check()
    assert changed.count == 1  # the first look: nobody knows what happened before
    watch.check()
    assert changed.count == 1
    file.write_text("now it exists")
    watch.check()
    watch.check()
    assert changed.count == 2
    file.unlink()
    watch.check()
    assert changed.count == 3


def test_a_file_that_is_replaced_by_one_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    changed, file, other = Counter(), tmp_path / "file", tmp_path / "other"
    file.write_text("one")
    watch = FileWatch([file], changed)
    watch.check()
    other.write_text("two")
    other.replace(file)
    watch.check()
    assert changed.count == 2


def test_a_mounted_secret_whose_link_moves_is_noticed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
    link = tmp_path / "data"
    link.symlink_to("first")
    changed = Counter()
    watch = FileWatch([link / "token"], changed)
    watch.check()
    new = tmp_path / "new"
    new.symlink_to("second")
    new.replace(link)
    watch.check()
    assert changed.count == 2


async def test_it_looks_until_it_is_left_and_survives_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looks = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()
    file = tmp_path / "file"

    def changed() -> None:
        loop.call_soon_threadsafe(looks.put_nowait, None)
        raise RuntimeError("this reader has a mistake")

    async with FileWatch([file], changed, interval_s=0.001):
        await asyncio.wait_for(looks.get(), 20)
        file.write_text("new")
        await asyncio.wait_for(looks.get(), 20)
    assert [record.levelno for record in caplog.records].count(logging.ERROR) >= 1
