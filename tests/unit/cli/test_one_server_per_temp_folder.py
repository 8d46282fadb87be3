from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.cli import process_id
from stoker.cli.instance import ALREADY_RUNNING, Instance
from stoker.errors import StartupError

NO_SUCH_PID = 2**22 + 1  # beyond the kernel's largest


def pid_file(folder: Path) -> Path:
    return folder / ".model_server.pid"


def test_a_claim_writes_the_pid_on_the_first_line_and_a_release_removes_it(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    assert not instance.claim()
    assert pid_file(tmp_path).read_text().splitlines()[0] == str(os.getpid())
    assert Instance(tmp_path).running() == process_id.own_identity()
    instance.release()
    instance.release()
    assert not pid_file(tmp_path).exists()


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


def test_the_lock_decides_even_when_the_pid_file_was_deleted(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.claim()
    pid_file(tmp_path).unlink()
    with pytest.raises(StartupError, match="already running"):
        Instance(tmp_path).claim()
    first.release()


@pytest.mark.parametrize(
    "content",
    [f"{NO_SUCH_PID}\n", f"{NO_SUCH_PID}\nstoker 1 boot\n", "", "garbage\n", "-1\n", "\0" * 100, "9" * 5000, "0\n"],
)
def test_an_orphan_pid_file_is_removed(tmp_path: Path, content: str) -> None:
    pid_file(tmp_path).write_text(content)
    instance = Instance(tmp_path)
    assert instance.running() is None
    assert instance.claim()
    instance.release()


def test_another_process_that_got_the_old_number_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """`torchserve --stop` would end somebody else's process."""
    for mark in ("stoker 1 some-boot", f"stoker {process_id.own_identity().started} another-boot", ""):
        pid_file(tmp_path).write_text(f"{os.getpid()}\n{mark}\n")
        assert Instance(tmp_path).running() is None


def test_the_pid_file_of_another_user_names_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a temp folder for everybody anyone may write a file that names my process."""
    instance = Instance(tmp_path)
    instance.claim()
    monkeypatch.setattr(process_id.Identity, "owner", lambda self: os.getuid() + 1)
    assert Instance(tmp_path).running() is None
    monkeypatch.undo()
    instance.release()


def test_torchserves_own_server_counts_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stoker.cli.instance.is_java_torchserve", lambda pid: True)
    pid_file(tmp_path).write_text(f"{os.getpid()}\n")
    with pytest.raises(StartupError, match="already running"):
        Instance(tmp_path).claim()
    assert pid_file(tmp_path).exists()


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".model_server.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartupError, match="Cannot claim the temp folder"):
        Instance(tmp_path).claim()


def test_a_temp_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"gone: No such file"):
        Instance(tmp_path / "gone").claim()


def test_a_release_leaves_the_pid_file_of_a_later_server_alone(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    instance.claim()
    pid_file(tmp_path).write_text("1\nstoker 1 x\n")
    instance.release()
    assert pid_file(tmp_path).exists()


def test_no_lock_outlives_an_unsuccessful_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Instance, identity: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Instance, "_write", full)
    with pytest.raises(StartupError, match="No space left"):
        Instance(tmp_path).claim()
    monkeypatch.undo()
    instance = Instance(tmp_path)
    instance.claim()
    instance.release()
