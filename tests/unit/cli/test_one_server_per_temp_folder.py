from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from stoker.cli import instance as module
from stoker.cli import process_id
from stoker.cli.instance import ALREADY_RUNNING, Instance
from stoker.core import private_folder
from stoker.errors import StartupError

NO_SUCH_PID = 2**22 + 1  # beyond the kernel's largest
OWN = f".model_server-{os.geteuid()}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HANDOVER_S", 0.0)


def pid_file(folder: Path) -> Path:
    return folder / ".model_server.pid"


def record(folder: Path) -> Path:
    return folder / OWN / "server"


def killed(folder: Path, recorded: str) -> None:
    """What a server leaves that had no time to tidy up."""
    record(folder).parent.mkdir(mode=0o700)
    record(folder).write_text(recorded)
    pid_file(folder).write_text(f"{recorded.split()[0]}\n")


def test_a_claim_writes_a_pid_file_for_kill_and_a_release_leaves_nothing(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    assert not instance.claim()
    assert pid_file(tmp_path).read_text() == f"{os.getpid()}\n"
    assert Instance(tmp_path).running() == process_id.own_identity()
    instance.release()
    instance.release()
    assert list(tmp_path.iterdir()) == []


def test_a_pid_file_is_whole_as_soon_as_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, str]] = []
    real = Path.hardlink_to

    def hardlink_to(self: Path, target: Path) -> None:
        seen.append((self.exists(), target.read_text()))
        real(self, target)

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    instance = Instance(tmp_path)
    instance.claim()
    assert seen == [(False, f"{os.getpid()}\n")]
    assert pid_file(tmp_path).read_text() == f"{os.getpid()}\n"
    instance.release()


def test_a_file_system_without_hard_links_gets_a_pid_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hardlink_to(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    instance = Instance(tmp_path)
    instance.claim()
    assert pid_file(tmp_path).read_text() == f"{os.getpid()}\n"
    instance.release()
    assert list(tmp_path.iterdir()) == []


def test_a_second_claim_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.claim()
    with pytest.raises(StartupError, match=f"^{ALREADY_RUNNING}$"):
        Instance(tmp_path).claim()
    assert Instance(tmp_path).running() is not None
    first.release()
    second = Instance(tmp_path)
    second.claim()
    second.release()


@pytest.mark.parametrize("lost", ["pid file", "record"])
def test_the_lock_decides_whatever_was_deleted(tmp_path: Path, lost: str) -> None:
    first = Instance(tmp_path)
    first.claim()
    (pid_file(tmp_path) if lost == "pid file" else record(tmp_path)).unlink()
    with pytest.raises(StartupError, match="already running"):
        Instance(tmp_path).claim()
    first.release()


def test_a_server_without_its_pid_file_is_still_found(tmp_path: Path) -> None:
    """Cleaners of temp folders remove old files."""
    first = Instance(tmp_path)
    first.claim()
    pid_file(tmp_path).unlink()
    assert Instance(tmp_path).running() == process_id.own_identity()
    first.release()


@pytest.mark.parametrize("content", [f"{NO_SUCH_PID}\n", "", "garbage\n", "-1\n", "\0" * 100, "9" * 5000, "0\n"])
def test_an_orphan_pid_file_is_removed(tmp_path: Path, content: str) -> None:
    pid_file(tmp_path).write_text(content)
    instance = Instance(tmp_path)
    assert instance.running() is None
    assert instance.claim()
    instance.release()


def test_another_process_that_got_the_old_number_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """`torchserve --stop` would end somebody else's process."""
    own = process_id.own_identity()
    killed(tmp_path, f"{own.pid} 1 {own.boot}\n")
    assert Instance(tmp_path).running() is None
    record(tmp_path).write_text(f"{own.pid} {own.started} another-boot\n")
    assert Instance(tmp_path).running() is None
    record(tmp_path).unlink()
    assert Instance(tmp_path).running() is None


def test_another_server_that_got_the_old_number_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of another temp folder has the same words on its command line."""
    monkeypatch.setattr(process_id, "_command_line", lambda pid: ["python", "-X", process_id.SERVER_MARK])
    killed(tmp_path, f"{os.getpid()} 1 boot\n")
    assert Instance(tmp_path).running() is None


def test_the_pid_file_of_another_user_names_no_process_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a temp folder for everybody anyone may write a file that names my process."""
    monkeypatch.setattr(process_id, "_command_line", lambda pid: ["java", process_id.SERVER_MARK])
    pid_file(tmp_path).write_text(f"{os.getpid()}\n")
    assert Instance(tmp_path).running() is not None
    monkeypatch.setattr(process_id.Identity, "owner", lambda self: os.getuid() + 1)
    assert Instance(tmp_path).running() is None


def test_torchserves_own_server_counts_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_id, "_command_line", lambda pid: ["/usr/bin/java", "-cp", process_id.SERVER_MARK])
    pid_file(tmp_path).write_text(f"{os.getpid()}\n")
    with pytest.raises(StartupError, match="already running"):
        Instance(tmp_path).claim()
    assert pid_file(tmp_path).exists()
    assert not record(tmp_path).exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "open to all"])
def test_a_name_that_another_has_taken_keeps_no_server_from_starting(tmp_path: Path, kind: str) -> None:
    taken, elsewhere = tmp_path / OWN, tmp_path / "elsewhere"
    if kind == "file":
        taken.write_text("x")
    elif kind == "open to all":
        taken.mkdir()
        taken.chmod(0o777)
    else:
        taken.symlink_to(elsewhere)
        if kind == "link":
            elsewhere.mkdir(mode=0o700)
    instance = Instance(tmp_path)
    instance.claim()
    assert Instance(tmp_path).running() == process_id.own_identity()
    with pytest.raises(StartupError, match=ALREADY_RUNNING):
        Instance(tmp_path).claim()
    instance.release()
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []
    assert not pid_file(tmp_path).exists()


def test_a_server_is_found_when_the_first_name_became_free_meanwhile(tmp_path: Path) -> None:
    (tmp_path / OWN).write_text("x")
    instance = Instance(tmp_path)
    instance.claim()
    (tmp_path / OWN).unlink()
    with pytest.raises(StartupError, match=ALREADY_RUNNING):
        Instance(tmp_path).claim()
    instance.release()


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_pid_file_that_is_none_is_not_written_through(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text(f"{os.getpid()}\n")
    if kind == "link":
        pid_file(tmp_path).symlink_to(precious)
    else:
        pid_file(tmp_path).mkdir()
    instance = Instance(tmp_path)
    instance.claim()
    assert instance.has_pid_file == (kind == "link")
    instance.release()
    assert precious.read_text() == f"{os.getpid()}\n"
    assert pid_file(tmp_path).exists() == (kind == "folder")


def test_what_a_killed_server_left_is_removed_by_a_stop(tmp_path: Path) -> None:
    killed(tmp_path, f"{NO_SUCH_PID} 1 boot\n")
    assert Instance(tmp_path).remove_orphan()
    assert list(tmp_path.iterdir()) == []
    assert not Instance(tmp_path).remove_orphan()
    assert list(tmp_path.iterdir()) == []


def test_a_stop_removes_nothing_of_a_server_that_is_just_starting(tmp_path: Path) -> None:
    killed(tmp_path, f"{NO_SUCH_PID} 1 boot\n")
    starting = private_folder.hold(tmp_path / OWN)
    assert not Instance(tmp_path).remove_orphan()
    assert pid_file(tmp_path).exists()
    os.close(starting)


def test_a_temp_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"gone: No such file"):
        Instance(tmp_path / "gone").claim()
    assert not Instance(tmp_path / "gone").remove_orphan()


@pytest.mark.parametrize("reason", [FileNotFoundError(2, "No such file or directory"), PermissionError(13, "Denied")])
def test_a_temp_folder_that_takes_no_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: OSError
) -> None:
    """Such as /proc, which is a folder but makes none. No server is running there."""

    def mkdir(*_: object, **__: object) -> None:
        raise reason

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(StartupError, match=re.escape(f"Cannot claim the temp folder {tmp_path}: {reason.strerror}")):
        Instance(tmp_path).claim()


def test_a_release_leaves_the_pid_file_of_a_later_server_alone(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    instance.claim()
    pid_file(tmp_path).unlink()
    (tmp_path / "new").write_text("1\n")
    (tmp_path / "new").rename(pid_file(tmp_path))
    instance.release()
    assert pid_file(tmp_path).read_text() == "1\n"


def test_no_lock_outlives_an_unsuccessful_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_new", full)
    with pytest.raises(StartupError, match="No space left"):
        Instance(tmp_path).claim()
    monkeypatch.undo()
    instance = Instance(tmp_path)
    instance.claim()
    instance.release()
    assert list(tmp_path.iterdir()) == []
