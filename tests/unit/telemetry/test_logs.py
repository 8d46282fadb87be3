from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from fake_time import FakeTime

from stoker.telemetry.sinks import Console, RollingFile

DAY = 86400.0


class Roller:
    def __init__(self, path: Path, max_bytes: int = 100) -> None:
        self.clock = FakeTime(1_700_000_000.0)
        self.troubles: list[str] = []
        self.file = RollingFile(path, on_trouble=self.troubles.append, max_bytes=max_bytes, keep=3, clock=self.clock)


@pytest.fixture
def roller(tmp_path: Path) -> Roller:
    made = Roller(tmp_path / "logs" / "ts_log.log")
    made.file.create()
    os.utime(made.file.path, (made.clock.now, made.clock.now))
    return made


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.parent.iterdir())}


def test_the_file_and_its_folder_exist_from_the_start(roller: Roller) -> None:
    assert contents(roller.file.path) == {"ts_log.log": b""}
    roller.file.close()


def test_lines_are_appended_to_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"old\n")
    made = Roller(tmp_path / "x.log")
    made.clock.now = (tmp_path / "x.log").stat().st_mtime
    made.file.write(b"new\n")
    made.file.close()
    assert contents(made.file.path) == {"x.log": b"old\nnew\n"}


def test_a_file_that_would_grow_too_large_is_moved_aside_and_only_some_are_kept(roller: Roller) -> None:
    for number in range(6):
        roller.file.write(b"%d" % number * 60)
    roller.file.close()
    assert {name: data[:1] for name, data in contents(roller.file.path).items()} == {
        "ts_log.log": b"5",
        "ts_log.log.1": b"4",
        "ts_log.log.2": b"3",
        "ts_log.log.3": b"2",
    }


def test_a_new_day_begins_a_new_file(roller: Roller) -> None:
    roller.file.write(b"monday")
    roller.clock.now += DAY
    roller.file.write(b"tuesday")
    roller.file.close()
    assert contents(roller.file.path) == {"ts_log.log": b"tuesday", "ts_log.log.1": b"monday"}


def test_a_file_of_yesterdays_server_is_moved_aside_too(tmp_path: Path) -> None:
    made = Roller(tmp_path / "x.log")
    made.file.path.write_bytes(b"yesterday")
    os.utime(made.file.path, (made.clock.now - DAY, made.clock.now - DAY))
    made.file.write(b"today")
    made.file.close()
    assert contents(made.file.path) == {"x.log": b"today", "x.log.1": b"yesterday"}


def test_a_folder_that_cannot_be_made_is_reported_once_and_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    made = Roller(tmp_path / "logs" / "ts_log.log")
    made.file.create()
    made.file.write(b"lost")
    assert len(made.troubles) == 1
    assert "Cannot write" in made.troubles[0]
    (tmp_path / "logs").unlink()
    made.file.write(b"lost too: not tried again yet")
    made.clock.now += 61
    made.file.write(b"kept")
    made.file.close()
    assert made.file.path.read_bytes() == b"kept"
    assert len(made.troubles) == 1


def test_a_full_disk_is_reported_and_not_raised() -> None:
    made = Roller(Path("/dev/full"))
    made.file.write(b"x")
    made.file.close()
    assert "No space left on device" in made.troubles[0]


def test_the_console_is_given_up_when_its_reader_left() -> None:
    reader, writer = os.pipe()
    console = Console(writer)
    os.close(reader)
    assert console.open
    console.write(b"nobody reads this")
    assert not console.open
    os.close(writer)
    with tempfile.TemporaryFile() as other:
        os.dup2(other.fileno(), writer)
        console.write(b"and this is not even tried: the descriptor is another file by now")
        os.close(writer)
        assert os.fstat(other.fileno()).st_size == 0


def test_a_console_that_takes_little_at_once_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    Console(writer).write(b"x" * 1000)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"x" * 1000
