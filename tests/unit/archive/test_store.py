from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_crafting import RawZip, good_mar, tar_bytes, tar_member, tree

from stoker.archive.store import ModelStore
from stoker.errors import ArchiveNotFound, InvalidArchive, ModelStoreMissing, ServerStopping, UnsafeArchive, UrlRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "m.mar").write_bytes(good_mar())
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[ModelStore]:
    store = ModelStore(folder / "store", temp_dir=folder / "tmp")
    yield store
    store.close()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "tmp").glob("stoker-*/*"))


async def test_a_name_of_the_store_is_unpacked_where_only_this_user_can_look(folder: Path, store: ModelStore) -> None:
    unpacked = await store.fetch_and_unpack("m.mar")
    assert unpacked.manifest.model_name == "m"
    assert unpacked.root.parent.parent == folder / "tmp"
    assert stat.S_IMODE(unpacked.root.parent.stat().st_mode) == 0o700
    assert len(unpacked.root.name) == 32
    assert int(unpacked.root.name, 16) >= 0
    assert stat.S_IMODE(unpacked.root.stat().st_mode) == 0o700
    assert (unpacked.model_dir / "handler.py").read_text() == "x = 1\n"
    assert (unpacked.url, unpacked.file_name, unpacked.downloaded) == ("m.mar", "m.mar", None)


async def test_discarding_removes_the_copy_and_never_the_archive(folder: Path, store: ModelStore) -> None:
    unpacked = await store.fetch_and_unpack("m.mar")
    unpacked.venv_dir.mkdir()
    store.discard(unpacked, delete_download=True)
    assert not unpacked.root.exists()
    store.discard(unpacked, delete_download=True)
    store.close()
    assert left(folder) == []
    assert (folder / "store" / "m.mar").exists()


async def test_the_same_archive_can_be_unpacked_many_times_at_once(folder: Path, store: ModelStore) -> None:
    all_of_them = await asyncio.gather(*(store.fetch_and_unpack("m.mar") for _ in range(12)))
    assert len({unpacked.root for unpacked in all_of_them}) == 12
    for unpacked in all_of_them:
        store.discard(unpacked, delete_download=False)
    store.close()
    assert left(folder) == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidArchive),
        (b"no archive", InvalidArchive),
        (RawZip().add(b"../x").bytes(), UnsafeArchive),
        (RawZip().add(b"MAR-INF/MANIFEST.json", b"{").bytes(), InvalidArchive),
    ],
)
async def test_a_bad_archive_leaves_nothing(
    folder: Path, store: ModelStore, data: bytes, error: type[Exception]
) -> None:
    (folder / "store" / "bad.mar").write_bytes(data)
    with pytest.raises(error):
        await store.fetch_and_unpack("bad.mar")
    assert left(folder) == []
    assert (folder / "store" / "bad.mar").exists()


async def test_a_directory_is_used_in_place_and_survives(folder: Path, store: ModelStore) -> None:
    model = folder / "store" / "dir"
    (model / "sub").mkdir(parents=True)
    (model / "handler.py").write_text("x")
    unpacked = await store.fetch_and_unpack("dir")
    assert unpacked.in_place
    assert unpacked.model_dir == unpacked.root / "dir"
    assert unpacked.model_dir.is_symlink()
    assert unpacked.model_dir.resolve() == model.resolve()
    store.discard(unpacked, delete_download=True)
    store.close()
    assert left(folder) == []
    assert set(tree(model)) == {"handler.py"}


async def test_a_directory_in_a_directory_is_the_model(folder: Path, store: ModelStore) -> None:
    """SageMaker's layout."""
    inner = folder / "store" / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "handler.py").write_text("x")
    unpacked = await store.fetch_and_unpack("outer")
    assert unpacked.model_dir.resolve() == inner.resolve()


async def test_a_tar_gz_loses_its_top_folder(folder: Path, store: ModelStore) -> None:
    (folder / "store" / "t.tar.gz").write_bytes(tar_bytes(tar_member("t/handler.py"), tar_member("t/sub/x")))
    unpacked = await store.fetch_and_unpack("t.tar.gz")
    assert set(tree(unpacked.model_dir)) == {"handler.py", "sub/x"}


async def test_a_url_that_is_not_allowed_is_never_taken_for_a_name(folder: Path, store: ModelStore) -> None:
    """A file of that name in the store once made any url pass elsewhere."""
    for url in ("http://evil/m.mar", f"file://{folder}/store/m.mar", "HTTP://evil/m.mar"):
        with pytest.raises(UrlRefused):
            await store.fetch_and_unpack(url)
    assert left(folder) == []


async def test_what_is_not_there_is_not_found(store: ModelStore) -> None:
    with pytest.raises(ArchiveNotFound, match=r"^Model not found at: nope\.mar$"):
        await store.fetch_and_unpack("nope.mar")


async def test_without_a_store_nothing_can_be_loaded(tmp_path: Path) -> None:
    store = ModelStore(None, temp_dir=tmp_path)
    with pytest.raises(ModelStoreMissing):
        await store.fetch_and_unpack("m.mar")
    with pytest.raises(ModelStoreMissing):
        await store.fetch_and_unpack("https://host.example/m.mar")
    assert store.startup_names() == []
    store.close()
    store = ModelStore(tmp_path / "gone", temp_dir=tmp_path)
    with pytest.raises(ModelStoreMissing, match=r"^Cannot list the model store: No such file or directory$"):
        store.startup_names()
    store.close()


def test_at_start_archives_and_visible_directories_are_loaded(folder: Path, store: ModelStore) -> None:
    place = folder / "store"
    for name in ("b.model", "c.tar.gz", "readme.txt", ".stoker-1.part", ".hidden.mar"):
        (place / name).write_bytes(b"x")
    for name in ("dir", ".git"):
        (place / name).mkdir()
    (place / "dangling.mar").symlink_to(place / "nothing")
    assert store.startup_names() == ["b.model", "c.tar.gz", "dir", "m.mar"]


async def test_a_registration_that_is_cancelled_leaves_nothing(folder: Path, store: ModelStore) -> None:
    for turns in range(6):
        task = asyncio.create_task(store.fetch_and_unpack("m.mar"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            return  # the thread was quick: it was over before it could be cancelled
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [name for name in left(folder) if not name.endswith(".gone")] == []


async def test_a_closed_store_says_that_the_server_stops(store: ModelStore) -> None:
    store.close()
    with pytest.raises(ServerStopping):
        await store.fetch_and_unpack("m.mar")


async def test_what_is_not_to_be_kept_is_fetched_beside_a_file_of_its_name_and_only_unpacked(folder: Path) -> None:
    """A node of a workflow may come from a URL whose file name is in the store already."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "m.mar").write_bytes(good_mar())
    (folder / "store" / "m.mar").write_bytes(b"another")
    url = f"file://{folder}/elsewhere/m.mar"
    store = ModelStore(folder / "store", temp_dir=folder / "tmp", allowed_urls="file://.*")
    both = await asyncio.gather(*(store.fetch_and_unpack(url, keep=False) for _ in range(2)))

    assert [unpacked.manifest.model_name for unpacked in both] == ["m", "m"]
    assert (folder / "store" / "m.mar").read_bytes() == b"another"
    for unpacked in both:
        store.discard(unpacked, delete_download=True)
    with pytest.raises(InvalidArchive):
        (folder / "elsewhere" / "m.mar").write_bytes(b"no archive")
        await store.fetch_and_unpack(url, keep=False)
    store.close()
    assert left(folder) == []
    assert (folder / "elsewhere" / "m.mar").exists()
