"""A model's directory as a stream: the same for the same files, judged as archives are, and read back whole."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from pathlib import Path

import pytest
from archive_crafting import tree

from stoker.archive import bundle, local
from stoker.archive.bundle import Bundle, FilesChanged, members_of, seal
from stoker.archive.limits import UnpackLimits
from stoker.archive.threads import Stop, Stopped
from stoker.archive.unpack import unpack_stream
from stoker.errors import InvalidArchive, UnsafeArchive

FILES = {
    "MAR-INF/MANIFEST.json": b"{}",
    "handler.py": b"x = 1\n",
    "weights.bin": os.urandom(700_001),
    "empty": b"",
    f"{'long/' * 30}name": b"deep",
    "naïve.txt": "ü".encode(),
}


def directory(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, data in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def sealed(folder: Path, name: str = "model") -> Bundle:
    return seal(name, members_of(folder))


def stream_of(made: Bundle) -> bytes:
    stream = io.BytesIO()
    made.write_to(stream)
    return stream.getvalue()


def unpacked(stream: bytes, root: Path) -> dict[str, bytes]:
    unpack_stream(io.BytesIO(stream), root, size=len(stream), limits=UnpackLimits())
    return tree(root)


def test_a_node_gets_the_files_as_they_are(tmp_path: Path) -> None:
    made = sealed(directory(tmp_path / "model"))
    stream = stream_of(made)
    assert (hashlib.sha256(stream).hexdigest(), len(stream)) == (made.hash, made.size)
    assert unpacked(stream, tmp_path / "node") == FILES


def test_empty_folders_and_the_right_to_execute_travel_along(tmp_path: Path) -> None:
    folder = directory(tmp_path / "model")
    (folder / "nothing/here").mkdir(parents=True)
    (folder / "handler.py").chmod(0o755)
    unpacked(stream_of(sealed(folder)), tmp_path / "node")
    assert (tmp_path / "node/nothing/here").is_dir()
    assert [os.access(tmp_path / "node" / name, os.X_OK) for name in ("handler.py", "empty")] == [True, False]


def test_the_same_files_elsewhere_have_the_same_hash(tmp_path: Path) -> None:
    first, second = directory(tmp_path / "a"), directory(tmp_path / "b", dict(reversed(FILES.items())))
    os.utime(first / "handler.py", (1, 1))
    assert sealed(first).hash == sealed(second).hash


@pytest.mark.parametrize("change", ["content", "name", "mode", "folder", "top"])
def test_whatever_a_worker_could_see_changes_the_hash(tmp_path: Path, change: str) -> None:
    folder = directory(tmp_path / "a")
    before = sealed(folder).hash
    if change == "content":
        (folder / "handler.py").write_bytes(b"x = 2\n")
    elif change == "name":
        (folder / "handler.py").rename(folder / "handlers.py")
    elif change == "mode":
        (folder / "handler.py").chmod(0o755)
    elif change == "folder":
        (folder / "new").mkdir()
    assert sealed(folder, "other" if change == "top" else "model").hash != before


def test_what_python_compiles_is_left_out(tmp_path: Path) -> None:
    """A worker of this machine writes it into a directory that is used in place."""
    folder = directory(tmp_path / "a")
    before = sealed(folder).hash
    directory(folder, {"__pycache__/handler.cpython-311.pyc": b"code", "sub/__pycache__/x.pyc": b"code"})
    (folder / "sub/__pycache__/x.pyc").unlink()
    (folder / "sub/__pycache__").rmdir()
    (folder / "sub").rmdir()
    assert sealed(folder).hash == before


def test_an_empty_directory_travels(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert unpacked(stream_of(sealed(tmp_path / "model")), tmp_path / "node") == {}


# ----------------------------------------------------------------------------------------------------- links


def test_links_inside_are_followed(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a", {"blobs/1": b"weights"})
    (folder / "model.pt").symlink_to("blobs/1")
    (folder / "again").symlink_to("blobs", target_is_directory=True)
    assert unpacked(stream_of(sealed(folder)), tmp_path / "node") == {
        "blobs/1": b"weights",
        "model.pt": b"weights",
        "again/1": b"weights",
    }


def test_a_directory_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    """As models used in place are."""
    directory(tmp_path / "real", {"handler.py": b"1"})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [member.name for member in members_of(tmp_path / "link")] == ["handler.py"]


def test_a_link_out_of_the_directory_is_followed_if_its_owner_could_have_put_the_file_there(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"weights")
    folder = directory(tmp_path / "a", {"handler.py": b"1"})
    (folder / "model.pt").symlink_to(tmp_path / "outside")
    assert unpacked(stream_of(sealed(folder)), tmp_path / "node")["model.pt"] == b"weights"


def test_a_link_out_of_the_directory_by_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = directory(tmp_path / "a", {"handler.py": b"1"})
    (folder / "model.pt").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(bundle, "trusted", lambda path, top: False)
    with pytest.raises(UnsafeArchive, match=r"model\.pt: it is a link out of the model's directory"):
        members_of(folder)
    assert local.trusted(folder / "model.pt", folder)


def test_links_to_nothing_are_left_out(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a", {"handler.py": b"1"})
    (folder / "gone").symlink_to("nowhere")
    (folder / "self").symlink_to("self")
    assert [member.name for member in members_of(folder)] == ["handler.py"]


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a", {"sub/handler.py": b"1"})
    (folder / "sub/up").symlink_to("..", target_is_directory=True)
    with pytest.raises(UnsafeArchive, match="sub/up: it is a link to a folder that contains it"):
        members_of(folder)


# ------------------------------------------------------------------------------------------ what cannot travel


@pytest.mark.parametrize("name", ["a\\b", "new\nline", "\udcff"])
def test_names_that_no_archive_may_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchive):
        members_of(directory(tmp_path / "a", {name: b"1"}))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
def test_the_directory_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchive):
        sealed(directory(tmp_path / "a"), name)


def test_pipes_are_refused_and_not_opened(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a", {"handler.py": b"1"})
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnsafeArchive, match="pipe: it is neither a file nor a folder"):
        members_of(folder)


def test_limits_hold(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a", {"a": b"12345", "b": b"12345"})
    with pytest.raises(InvalidArchive, match="more than 1 entries"):
        members_of(folder, limits=UnpackLimits(entries=1))
    with pytest.raises(InvalidArchive, match="more than 9 bytes"):
        members_of(folder, limits=UnpackLimits(total_bytes=9))


def test_a_file_that_shrinks_or_goes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a")
    members = members_of(folder)
    (folder / "weights.bin").write_bytes(b"short")
    with pytest.raises(FilesChanged):
        seal("model", members)
    (folder / "weights.bin").unlink()
    with pytest.raises(FilesChanged):
        seal("model", members)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = directory(tmp_path / "a")
    (folder / "handler.py").chmod(0)
    with pytest.raises(UnsafeArchive, match=r"handler\.py: it cannot be read"):
        sealed(folder)


def test_reading_stops_when_nobody_waits_any_more(tmp_path: Path) -> None:
    members = members_of(directory(tmp_path / "a"))
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped):
        seal("model", members, stop=stop)


@pytest.mark.parametrize("size", [1 << 33, (1 << 33) - 1])
def test_files_larger_than_a_tar_header_can_say_have_headers(size: int) -> None:
    """Eight gigabytes are the most that its octal digits hold."""
    header = bundle.Member("weights.bin", Path("/"), size, False, False, (0, 0, 0)).header("model")
    assert len(header) % 512 == 0
    assert (b"size" in header) == (size >= 1 << 33)
