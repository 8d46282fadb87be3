"""A node's cache of archives: one fetch for many workers, nothing unverified, nothing that a worker uses removed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from archive_crafting import tree

from stoker.archive.bundle import members_of, seal
from stoker.archive.tar_reader import ByteStream
from stoker.archive.threads import Stop, Stopped
from stoker.errors import FilesNotFetched
from stoker.node.cache import ArchiveCache
from stoker.node.order import Archive

LIMIT = 1 << 20


class Origin:
    """A server with one model. ``served``: how often the stream was asked for."""

    def __init__(self, stream: bytes, *, name: str = "model", wanted: Archive | None = None) -> None:
        self.stream = stream
        self.wanted = wanted or Archive(hash=hashlib.sha256(stream).hexdigest(), size=len(stream), name=name)
        self.served = 0

    @contextmanager
    def open(self) -> Iterator[ByteStream]:
        self.served += 1
        yield io.BytesIO(self.stream)


def origin_of(folder: Path, name: str = "model", **files: bytes) -> Origin:
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    stream = io.BytesIO()
    seal(name, members_of(folder)).write_to(stream)
    return Origin(stream.getvalue(), name=name)


def tar_of(*members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return packed.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> ArchiveCache:
    return ArchiveCache(tmp_path / "cache", LIMIT)


Lease = Callable[[Origin], AbstractContextManager[Path]]


@pytest.fixture
def lease(cache: ArchiveCache) -> Lease:
    return lambda origin: cache.lease(origin.wanted, origin.open, stop=Stop())


def entries(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()}


# ------------------------------------------------------------------------------------------------ one fetch


def test_a_worker_gets_the_files_under_the_directorys_name(lease: Lease, tmp_path: Path) -> None:
    with lease(origin_of(tmp_path / "origin", "my_package", handler=b"x = 1")) as folder:
        assert (folder.name, tree(folder)) == ("my_package", {"handler": b"x = 1"})


def test_later_workers_fetch_nothing(lease: Lease, tmp_path: Path) -> None:
    origin = origin_of(tmp_path / "origin", handler=b"1")
    for _ in range(3):
        with lease(origin) as first, lease(origin) as second:
            assert first == second
    assert origin.served == 1


def test_workers_that_start_at_once_fetch_once(lease: Lease, tmp_path: Path) -> None:
    origin = origin_of(tmp_path / "origin", handler=b"1" * 100_000)
    seen: list[bytes] = []

    def work() -> None:
        with lease(origin) as folder:
            seen.append((folder / "handler").read_bytes())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (origin.served, len(seen), set(seen)) == (1, 8, {b"1" * 100_000})


def test_only_this_user_can_look_in(lease: Lease, tmp_path: Path) -> None:
    with lease(origin_of(tmp_path / "origin", handler=b"1")) as folder:
        below = [folder, *folder.parents]
        inside = below[: below.index(tmp_path / "cache") + 1]
        assert {path.stat().st_mode & 0o777 for path in inside} == {0o700}
        assert (folder / "handler").stat().st_mode & 0o777 == 0o600


# ------------------------------------------------------------------------------------------ what is not right


def assert_refused(lease: Lease, origin: Origin, tmp_path: Path, text: str) -> None:
    with pytest.raises(FilesNotFetched) as refusal, lease(origin):
        pass
    assert text in refusal.value.message
    assert str(tmp_path) not in refusal.value.message
    assert entries(tmp_path) == set()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda stream: stream[:-1], "connection ended before all"),
        (lambda stream: b"", "connection ended before all"),
        (lambda stream: stream + b"1", "are not the model's, or changed"),
        (lambda stream: stream.replace(b"x = 1", b"x = 2"), "are not the model's, or changed"),
        (lambda stream: os.urandom(len(stream)), "The model's files were refused by the node"),
    ],
)
def test_a_stream_that_is_not_the_one_announced_leaves_nothing(
    lease: Lease, tmp_path: Path, change: Callable[[bytes], bytes], text: str
) -> None:
    good = origin_of(tmp_path / "origin", handler=b"x = 1")
    assert_refused(lease, Origin(change(good.stream), wanted=good.wanted), tmp_path, text)
    with lease(good) as folder:
        assert tree(folder) == {"handler": b"x = 1"}


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "members",
    [
        [tarfile.TarInfo("model/../../evil")],
        [tarfile.TarInfo("/evil")],
        [link("model/link", "/etc/passwd", tarfile.SYMTYPE)],
        [link("model/link", "../../../evil", tarfile.LNKTYPE)],
        [link("model/device", "", tarfile.CHRTYPE)],
        [tarfile.TarInfo("model/a"), tarfile.TarInfo("model/a")],
    ],
)
def test_what_no_archive_may_hold_is_refused_whatever_its_hash(
    lease: Lease, tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    assert_refused(lease, Origin(tar_of(*members)), tmp_path, "The model's files were refused by the node")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(("digest", "name"), [("../evil", "model"), ("a" * 64, "../evil"), ("a" * 64, "")])
def test_an_order_with_a_path_in_it_is_refused(cache: ArchiveCache, tmp_path: Path, digest: str, name: str) -> None:
    origin = Origin(b"", wanted=Archive(hash=digest, size=0, name=name))
    with pytest.raises(FilesNotFetched, match="names no archive"), cache.lease(origin.wanted, origin.open, stop=Stop()):
        pass
    assert origin.served == 0


def test_a_lost_connection_is_reported(lease: Lease, tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise ConnectionResetError(errno.ECONNRESET, "reset")

    good = origin_of(tmp_path / "origin", handler=b"1")

    class Breaking(Origin):
        @contextmanager
        def open(self) -> Iterator[ByteStream]:
            yield Broken()

    assert_refused(lease, Breaking(b"", wanted=good.wanted), tmp_path, "connection ended before all")


def test_a_stopped_worker_leaves_nothing(cache: ArchiveCache, tmp_path: Path) -> None:
    good, stop = origin_of(tmp_path / "origin", handler=b"1"), Stop()

    class Stopping(Origin):
        @contextmanager
        def open(self) -> Iterator[ByteStream]:
            stop.set()
            yield io.BytesIO(self.stream)

    origin = Stopping(good.stream, wanted=good.wanted)
    with pytest.raises(Stopped), cache.lease(origin.wanted, origin.open, stop=stop):
        pass
    assert entries(tmp_path) == set()


def test_a_worker_that_waits_for_another_ones_fetch_can_be_stopped(cache: ArchiveCache, tmp_path: Path) -> None:
    good, stop = origin_of(tmp_path / "origin", handler=b"1"), Stop()

    class Slow(Origin):
        @contextmanager
        def open(self) -> Iterator[ByteStream]:
            waiting = threading.Thread(target=wait_in_vain)
            waiting.start()
            stop.set()
            waiting.join()
            yield io.BytesIO(self.stream)

    def wait_in_vain() -> None:
        with pytest.raises(Stopped), cache.lease(good.wanted, good.open, stop=stop):
            pass

    origin = Slow(good.stream, wanted=good.wanted)
    with cache.lease(origin.wanted, origin.open, stop=Stop()) as folder:
        assert tree(folder) == {"handler": b"1"}
    assert good.served == 0


# ------------------------------------------------------------------------------------------------ the limit


def big(tmp_path: Path, number: int, nbytes: int = 400_000) -> Origin:
    return origin_of(tmp_path / f"origin{number}", weights=bytes([number]) * nbytes)


def test_the_longest_unused_archive_makes_room(lease: Lease, tmp_path: Path) -> None:
    first, second, third = (big(tmp_path, number) for number in (1, 2, 3))
    for number, origin in enumerate((first, second)):
        with lease(origin):
            pass
        os.utime(tmp_path / "cache" / origin.wanted.hash / "complete", (number, number))
    with lease(third):
        assert entries(tmp_path) == {second.wanted.hash, third.wanted.hash}


def test_using_an_archive_makes_it_a_recent_one(lease: Lease, tmp_path: Path) -> None:
    first, second, third = (big(tmp_path, number) for number in (1, 2, 3))
    for origin in (first, second):
        with lease(origin):
            pass
        os.utime(tmp_path / "cache" / origin.wanted.hash / "complete", (1, 1))
    with lease(first):
        pass
    with lease(third):
        assert entries(tmp_path) == {first.wanted.hash, third.wanted.hash}


def test_what_a_worker_uses_is_never_removed(lease: Lease, tmp_path: Path) -> None:
    with lease(big(tmp_path, 1)) as one, lease(big(tmp_path, 2)) as two:
        with pytest.raises(
            FilesNotFetched, match=r"do not fit .* 0\.8 MB of 1\.0 MB are in use.*ray_archive_cache_size"
        ):
            lease(big(tmp_path, 3)).__enter__()
        assert (one / "weights").exists()
        assert (two / "weights").exists()
    with lease(big(tmp_path, 3)):
        pass


def test_an_archive_larger_than_the_limit_is_refused_before_it_is_fetched(lease: Lease, tmp_path: Path) -> None:
    origin = big(tmp_path, 1, LIMIT)
    assert_refused(lease, origin, tmp_path, "do not fit into the archive cache of the node: 0.0 MB of 1.0 MB")
    assert origin.served == 0


def test_fetches_in_progress_count(cache: ArchiveCache, tmp_path: Path) -> None:
    first, second, third = (big(tmp_path, number) for number in (1, 2, 3))

    class Nested(Origin):
        @contextmanager
        def open(self) -> Iterator[ByteStream]:
            with ExitStack() as stack:
                stack.enter_context(cache.lease(second.wanted, second.open, stop=Stop()))
                with pytest.raises(FilesNotFetched, match="do not fit"):
                    stack.enter_context(cache.lease(third.wanted, third.open, stop=Stop()))
                yield io.BytesIO(self.stream)

    origin = Nested(first.stream, wanted=first.wanted)
    with cache.lease(origin.wanted, origin.open, stop=Stop()):
        assert entries(tmp_path) == {first.wanted.hash, second.wanted.hash}


def test_a_full_disk_is_made_room_on_or_else_reported(tmp_path: Path) -> None:
    first, second = big(tmp_path, 1), big(tmp_path, 2)

    def free(root: Path) -> int:
        return 0 if (root / first.wanted.hash).exists() else second.wanted.size

    cache = ArchiveCache(tmp_path / "cache", LIMIT, free_bytes=free)
    with pytest.raises(FilesNotFetched, match=r"The disk of the node is full: the model's files need 0\.4 MB"):
        cache.lease(first.wanted, first.open, stop=Stop()).__enter__()
    with ArchiveCache(tmp_path / "cache", LIMIT).lease(first.wanted, first.open, stop=Stop()):
        pass
    with cache.lease(second.wanted, second.open, stop=Stop()):
        assert entries(tmp_path) == {second.wanted.hash}


def test_a_disk_that_fills_up_is_reported(lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object, piece: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stoker.archive.unpack._write_all", full)
    assert_refused(lease, origin_of(tmp_path / "origin", handler=b"1"), tmp_path, "The disk of the node is full.")


# ------------------------------------------------------------------------------------------------ what is left


def killed_while(cache: ArchiveCache, origin: Origin, *, fetching: bool) -> None:
    """Has a process die by SIGKILL while it fetches, or while it uses the archive."""

    pid = os.fork()
    if not pid:
        try:
            with cache.lease(origin.wanted, killing(origin) if fetching else origin.open, stop=Stop()):
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def killing(origin: Origin) -> Callable[[], AbstractContextManager[ByteStream]]:
    class Killing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read(min(size or 0, 100_000))

    @contextmanager
    def opened() -> Iterator[ByteStream]:
        yield Killing(origin.stream)

    return opened


def test_a_process_killed_while_it_fetches_leaves_what_the_next_one_replaces(
    cache: ArchiveCache, lease: Lease, tmp_path: Path
) -> None:
    origin = big(tmp_path, 1)
    killed_while(cache, origin, fetching=True)
    assert (tmp_path / "cache" / origin.wanted.hash / "part/weights").exists()
    with lease(origin) as folder:
        assert (folder / "weights").stat().st_size == 400_000
        assert not (folder.parents[1] / "part").exists()


def test_what_a_killed_process_left_of_another_archive_is_removed_by_whoever_needs_room(
    cache: ArchiveCache, lease: Lease, tmp_path: Path
) -> None:
    killed_while(cache, big(tmp_path, 1, 900_000), fetching=True)
    origin = big(tmp_path, 2, 900_000)
    with lease(origin):
        assert entries(tmp_path) == {origin.wanted.hash}


def test_a_killed_worker_gives_its_archive_back(cache: ArchiveCache, lease: Lease, tmp_path: Path) -> None:
    killed_while(cache, big(tmp_path, 1, 900_000), fetching=False)
    origin = big(tmp_path, 2, 900_000)
    with lease(origin):
        assert entries(tmp_path) == {origin.wanted.hash}


@pytest.mark.parametrize("damage", ["written", "removed", "truncated"])
def test_files_that_were_changed_are_fetched_again(lease: Lease, tmp_path: Path, damage: str) -> None:
    origin = origin_of(tmp_path / "origin", handler=b"x = 1")
    with lease(origin) as folder:
        file = folder / "handler"
        file.unlink() if damage == "removed" else file.write_bytes(b"x = 2" if damage == "written" else b"")
        with lease(origin) as same:
            assert origin.served == 1
            assert same == folder
    with lease(origin) as folder:
        assert (tree(folder), origin.served) == ({"handler": b"x = 1"}, 2)


def test_files_that_a_handler_adds_stay(lease: Lease, tmp_path: Path) -> None:
    origin = origin_of(tmp_path / "origin", handler=b"x = 1")
    with lease(origin) as folder:
        (folder / "compiled").write_bytes(b"1")
    with lease(origin) as folder:
        assert (tree(folder), origin.served) == ({"handler": b"x = 1", "compiled": b"1"}, 1)


def test_a_folder_that_others_may_write_to_is_not_used(lease: Lease, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(FilesNotFetched, match="not a folder of this user alone"):
        lease(origin_of(tmp_path / "origin", handler=b"1")).__enter__()


def test_a_link_in_place_of_an_entry_is_not_followed(lease: Lease, tmp_path: Path) -> None:
    origin = origin_of(tmp_path / "origin", handler=b"1")
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / origin.wanted.hash).symlink_to(tmp_path / "origin")
    with pytest.raises(FilesNotFetched):
        lease(origin).__enter__()
    assert tree(tmp_path / "origin") == {"handler": b"1"}
