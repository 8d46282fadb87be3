"""Nodes that do not have a model's files fetch them from the server, over the border, once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pool_kit import HANDLERS, children, open_files, running
from remote_kit import BundleOf, Nodes, nodes

from stoker.archive.bundle import Bundle
from stoker.archive.limits import UnpackLimits
from stoker.pool.remote.bundles import Bundles


@pytest.fixture
def bundle_of() -> Iterator[BundleOf]:
    with ThreadPoolExecutor(1) as executor:
        yield Bundles(executor=executor, limits=UnpackLimits()).of


@contextlib.asynccontextmanager
async def fetching_nodes(tmp_path: Path, bundle_of: BundleOf, **options: Any) -> AsyncIterator[Nodes]:
    async with nodes(bundle_of=bundle_of, cache_dir=str(tmp_path / "cache"), **options) as made:
        yield made


def model(tmp_path: Path, **files: bytes) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in HANDLERS.glob("*.py"):
        shutil.copy(file, folder)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("tls", [True, False])
async def test_a_node_serves_a_model_that_it_has_fetched(tmp_path: Path, bundle_of: BundleOf, tls: bool) -> None:
    model(tmp_path, weights=bytes(3_000_000))
    await bundle_of(str(tmp_path))  # starts the thread
    files, processes = open_files(), children()
    async with fetching_nodes(tmp_path, bundle_of, tls=tls) as made:
        async with running(tmp_path, workers=2, placement=made) as kit:
            assert [await kit.ask(f"echo {i}") for i in range(4)] == [f"echo {i}" for i in range(4)]
        assert await made.end() == [0, 0]
    fetched = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert len(fetched) == 1
    assert (fetched[0] / "files/model/weights").stat().st_size == 3_000_000
    assert (children(), open_files()) == (processes, files)


async def test_a_directory_used_in_place_may_be_imported_as_a_package(tmp_path: Path, bundle_of: BundleOf) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/helper.py").write_text("def shout(text):\n    return text.upper()\n")
    source = "from model.helper import shout\n\n\ndef handle(data, context):\n"
    source += "    return None if data is None else [shout(bytes(row['data']).decode()) for row in data]\n"
    (tmp_path / "real/service.py").write_text(source)
    (tmp_path / "model").symlink_to(tmp_path / "real")
    async with (
        fetching_nodes(tmp_path, bundle_of, in_place=True) as made,
        running(tmp_path, "service", placement=made) as kit,
    ):
        assert await kit.ask("hello") == "HELLO"


async def test_a_worker_that_starts_again_finds_the_files(tmp_path: Path, bundle_of: BundleOf) -> None:
    asked: list[Bundle] = []

    class Counted(Bundle):
        def write_to(self, file: Any) -> None:
            asked.append(self)
            super().write_to(file)

    async def counted(model_dir: str) -> Bundle:
        made = await bundle_of(model_dir)
        return Counted(made.name, made.members, made.hash, made.size)

    model(tmp_path)
    async with fetching_nodes(tmp_path, counted) as made, running(tmp_path, placement=made) as kit:
        job = kit.submit("exit 3")
        with contextlib.suppress(Exception):
            await job.reply.next()
        assert await kit.ask("echo again") == "echo again"
        assert (len(made.agents), len(asked)) == (2, 1)


async def test_files_that_do_not_fit_into_the_cache_are_the_reason_that_is_given(
    tmp_path: Path, bundle_of: BundleOf
) -> None:
    model(tmp_path, weights=bytes(3_000_000))
    async with (
        fetching_nodes(tmp_path, bundle_of, cache_limit_bytes=1 << 20) as made,
        running(tmp_path, workers=0, placement=made) as kit,
    ):
        kit.pool.scale(1)
        await kit.until(lambda: kit.scheduler.pool_statuses[-1][1] is not None)
        failure = kit.scheduler.pool_statuses[-1][1]
        assert failure is not None
        assert "do not fit into the archive cache of the node" in failure.cause


async def test_files_that_change_on_the_way_are_not_used(tmp_path: Path, bundle_of: BundleOf) -> None:
    """The next start sends them as they are then."""
    folder = model(tmp_path, weights=b"1")
    stale = await bundle_of(str(folder))
    (folder / "weights").write_bytes(b"2")
    asked: list[str] = []

    async def at_first_stale(model_dir: str) -> Bundle:
        asked.append(model_dir)
        return stale if len(asked) == 1 else await bundle_of(model_dir)

    async with fetching_nodes(tmp_path, at_first_stale) as made:
        async with running(tmp_path, workers=0, placement=made) as kit:
            kit.pool.scale(1)
            await kit.until(lambda: kit.states() == ["READY"])
            assert await kit.ask("echo 1") == "echo 1"
        assert len(asked) == 2


async def test_an_agent_whose_server_gives_up_ends_while_it_fetches(tmp_path: Path) -> None:
    started, over = threading.Event(), threading.Event()

    class Halting(Bundle):
        def write_to(self, file: Any) -> None:
            file.write(bytes(1 << 20))
            started.set()
            over.wait(60)

    async def halting(model_dir: str) -> Bundle:
        return Halting("model", (), "a" * 64, 1 << 21)

    model(tmp_path)
    async with fetching_nodes(tmp_path, halting) as made:
        async with running(tmp_path, workers=0, placement=made) as kit:
            kit.pool.scale(1)
            await asyncio.to_thread(started.wait)
        assert await made.end() == [0]
        over.set()
    assert list((tmp_path / "cache").glob("a*")) == []
