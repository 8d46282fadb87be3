from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.config.model_snapshot import ModelSnapshot, SnapshotModel
from stoker.snapshots import files
from stoker.snapshots.folder import SnapshotFolder

SAVED = ModelSnapshot((SnapshotModel(name="a", version="1.0", default=True, mar_name="a@1.0"),))


def folder_of(path: Path, kept: int = 3) -> SnapshotFolder:
    return SnapshotFolder(path, settings={"python": "/usr/bin/python é"}, kept=kept)


def test_files_are_whole_named_in_order_and_the_oldest_of_ours_make_room(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "config"
    folder.mkdir(parents=True)
    theirs = folder / "20200101000000000-startup.cfg"
    theirs.write_text("#Saving snapshot\nmodel_snapshot={}")
    left = folder / ".20200101000000000-startup.cfg.1.part"
    left.write_text("half")
    os.utime(left, (1, 1))
    written = [folder_of(folder).write("snapshot", SAVED) for _ in range(5)]
    names = files.newest_first(path.name for path in folder.iterdir())
    assert names == [path.name for path in written[:1:-1]] + [theirs.name]
    assert not left.exists() and len(list(folder.iterdir())) == 4
    assert written[-1].read_text().startswith("#stoker ")
    assert "python=/usr/bin/python \\u00E9\n" in written[-1].read_text()


def test_zero_keeps_all(tmp_path: Path) -> None:
    for _ in range(5):
        folder_of(tmp_path, kept=0).write("startup", ModelSnapshot(()))
    assert len(list(tmp_path.iterdir())) == 5


def test_a_write_that_fails_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        folder_of(tmp_path).write("startup", SAVED)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        folder_of(tmp_path / "file" / "config").write("startup", ModelSnapshot(()))
