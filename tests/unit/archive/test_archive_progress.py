"""What the log says while a large archive comes in or is unpacked."""

from __future__ import annotations

import io
import logging
import zipfile
from pathlib import Path

import pytest
from fake_time import FakeTime

from stoker.archive import unpack as unpacking
from stoker.archive.limits import UnpackLimits
from stoker.archive.progress import Progress
from stoker.archive.unpack import unpack


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> FakeTime:
    caplog.set_level(logging.INFO)
    return FakeTime()


def test_each_tenth_is_a_line_and_so_are_five_seconds_without_one(
    clock: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress("m.mar", 40_000_000, clock=clock)
    for nbytes, passed in ((1_000_000, 1), (3_000_000, 1), (1_000_000, 4.9), (1_000_000, 0.1)):
        clock.now += passed
        progress.add(nbytes)
    assert caplog.messages == [
        "Downloading m.mar: 4.0 MB of 40.0 MB (10 %)",
        "Downloading m.mar: 6.0 MB of 40.0 MB (15 %)",
    ]


def test_what_is_quick_says_nothing_and_what_is_of_unknown_size_how_much_there_is(
    clock: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    quick = Progress("quick.mar", 10, quiet_s=2.0, clock=clock)
    clock.now += 1.9
    quick.add(10)
    unknown = Progress("tar.gz", doing="Unpacking", quiet_s=2.0, clock=clock)
    clock.now += 5.0
    unknown.add(7_000_000)
    assert caplog.messages == ["Unpacking tar.gz: 7.0 MB"]


def test_unpacking_a_large_archive_is_logged_with_its_name_and_whole_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unpacking, "_QUIET_S", 0.0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.bin", bytes(2_000_000))
        archive.writestr("b.bin", bytes(2_000_000))
    (tmp_path / "big.mar").write_bytes(buffer.getvalue())
    with caplog.at_level(logging.INFO), (tmp_path / "big.mar").open("rb") as file:
        unpack(file, tmp_path / "out", limits=UnpackLimits(), name="big.mar")
    assert caplog.messages[-1] == "Unpacking big.mar: 4.0 MB of 4.0 MB (100 %)"
