"""Folders of one user where everybody may write: what is trusted, what is swept, what is left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stoker.core import private_folder
from stoker.core.private_folder import InUse, NotOurs, PrivateFolder

OWN = f"stoker-{os.geteuid()}-"


@contextmanager
def opened(parent: Path) -> Iterator[PrivateFolder]:
    folder = PrivateFolder(parent)
    folder.open()
    try:
        yield folder
    finally:
        folder.close()


def killed(parent: Path, name: str = "0" * 16) -> Path:
    """What a server leaves that had no time to tidy up: a folder without a lock."""
    path = parent / f"{OWN}{name}"
    (path / "a").mkdir(parents=True)
    path.chmod(0o700)
    (path / "a" / "file").write_text("x")
    return path


def test_an_open_folder_is_for_this_user_alone_and_goes_when_it_is_closed(tmp_path: Path) -> None:
    with opened(tmp_path / "made") as folder:
        assert folder.path.parent == tmp_path / "made"
        assert folder.path.stat().st_mode & 0o777 == 0o700
        (folder.path / "file").write_text("x")
    folder.close()
    assert list((tmp_path / "made").iterdir()) == []


def test_the_next_one_sweeps_what_a_killed_server_left_and_spares_a_living_one(tmp_path: Path) -> None:
    dead, read_only = killed(tmp_path), killed(tmp_path, "1" * 16)
    (read_only / "a").chmod(0o500)
    with opened(tmp_path) as living:
        (living.path / "model").mkdir()
        assert not dead.exists()
        assert not read_only.exists()
        with opened(tmp_path):
            assert (living.path / "model").exists()


@pytest.mark.parametrize("name", ["stoker-report", f"{OWN}short", f"{OWN}{'g' * 16}", f"{OWN}{'0' * 16}.old", "models"])
def test_folders_with_other_names_are_not_swept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(mode=0o700)
    with opened(tmp_path):
        assert (tmp_path / name).exists()


def test_a_sweep_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir(mode=0o700)
    (tmp_path / "precious" / "file").write_text("x")
    link = tmp_path / f"{OWN}{'0' * 16}"
    link.symlink_to(tmp_path / "precious")
    inside = killed(tmp_path, "1" * 16)
    (inside / "link").symlink_to(tmp_path / "precious")
    private_folder.sweep(tmp_path)
    assert link.is_symlink()
    assert not inside.exists()
    assert (tmp_path / "precious" / "file").exists()


def test_a_folder_that_another_user_owns_is_neither_swept_nor_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = killed(tmp_path)
    theirs = tmp_path / f"stoker-4242-{'0' * 16}"  # as their process would see it: right name, wrong owner
    shutil.copytree(mine, theirs)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    private_folder.sweep(tmp_path)
    assert mine.exists()
    assert theirs.exists()
    with pytest.raises(NotOurs):
        private_folder.hold(theirs)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_where_others_can_write_is_not_held(tmp_path: Path, mode: int) -> None:
    folder = killed(tmp_path)
    folder.chmod(mode)
    with pytest.raises(NotOurs):
        private_folder.hold(folder)


def test_a_file_or_a_link_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(killed(tmp_path))
    for name in ("file", "link"):
        with pytest.raises(NotOurs):
            private_folder.hold(tmp_path / name)


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    lock = private_folder.hold(folder)
    with pytest.raises(InUse):
        private_folder.hold(folder)
    os.close(lock)
    os.close(private_folder.hold(folder))


def test_a_folder_that_is_replaced_while_it_is_locked_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removes it just before it lets go, and the lock that comes then is on nothing."""
    folder = killed(tmp_path)
    flock = private_folder.fcntl.flock

    def replaced_meanwhile(fd: int, operation: int) -> None:
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        flock(fd, operation)

    monkeypatch.setattr("stoker.core.private_folder.fcntl.flock", replaced_meanwhile)
    with pytest.raises(FileNotFoundError):
        private_folder.hold(folder)


def test_an_opening_folder_that_a_sweep_took_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of a folder and its lock it looks like a killed server's."""
    hold = private_folder.hold
    swept = []

    def swept_once(path: Path, *, must_lock: bool = False) -> int:
        if not swept:
            swept.append(path)
            path.rmdir()
        return hold(path, must_lock=must_lock)

    monkeypatch.setattr(private_folder, "hold", swept_once)
    with opened(tmp_path) as folder:
        assert folder.path.exists()
        assert [folder.path] != swept


def test_where_the_file_system_has_no_locks_a_folder_is_used_and_never_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(fd: int, operation: int) -> None:
        raise OSError(9, "Bad file descriptor")  # NFS, of a folder

    monkeypatch.setattr("stoker.core.private_folder.fcntl.flock", unsupported)
    dead = killed(tmp_path)
    with opened(tmp_path) as folder:
        assert folder.path.exists()
        assert dead.exists()
