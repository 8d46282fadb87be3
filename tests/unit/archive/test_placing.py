from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stoker.archive import placing
from stoker.archive.placing import Placement, sweep
from stoker.archive.workspace import Workspace
from stoker.errors import ArchiveExists, ConfigurationError


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "m.mar"
    with pytest.raises(RuntimeError), Placement(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with Placement(target) as file:
        file.write(b"whole")
        assert not target.exists()
        file.commit()
    assert [p.name for p in tmp_path.iterdir()] == ["m.mar"]
    assert target.read_bytes() == b"whole"


@pytest.mark.parametrize("linkable", [True, False])
def test_a_file_that_appeared_meanwhile_is_not_replaced(
    tmp_path: Path, linkable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not linkable:
        monkeypatch.setattr(placing.os, "link", _no_links)
    target = tmp_path / "m.mar"
    with pytest.raises(ArchiveExists, match=r"^Model file already exists m\.mar$"), Placement(target) as file:
        target.write_bytes(b"other")
        file.commit()
    assert target.read_bytes() == b"other"
    assert [p.name for p in tmp_path.iterdir()] == ["m.mar"]


def test_a_disk_without_links_gets_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing.os, "link", _no_links)
    with Placement(tmp_path / "m.mar") as file:
        file.write(b"whole")
        file.commit()
    assert [p.name for p in tmp_path.iterdir()] == ["m.mar"]


def _no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "no links here")


def test_sweeping_spares_what_is_being_written(tmp_path: Path) -> None:
    (tmp_path / ".stoker-dead.part").write_bytes(b"left by a killed server")
    (tmp_path / "m.mar").write_bytes(b"x")
    with Placement(tmp_path / "n.mar") as file:
        file.write(b"x")
        sweep(tmp_path)
        file.commit()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mar", "n.mar"]


def test_what_a_killed_server_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir(mode=0o700)
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "mine").write_text("kept")
    (models / ("a" * 32)).mkdir()
    (models / ("a" * 32) / "x").write_text("x")
    (models / ("b" * 32)).symlink_to(tmp_path / "operators")
    (models / ("c" * 32 + ".venv")).mkdir()
    (models / "users-own").mkdir()
    workspace = Workspace(tmp_path)
    workspace.open()
    assert sorted(p.name for p in models.iterdir()) == [".lock", "users-own"]
    assert (tmp_path / "operators" / "mine").exists()
    workspace.close()


def test_a_second_server_spares_the_models_of_the_first(tmp_path: Path) -> None:
    first, second = Workspace(tmp_path), Workspace(tmp_path)
    first.open()
    root = first.new_root()
    root.mkdir()
    second.open()
    assert root.exists()
    first.close()
    second.close()
    third = Workspace(tmp_path)
    third.open()
    assert not root.exists()
    third.close()


def test_a_folder_where_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models").chmod(0o777)
    with pytest.raises(ConfigurationError, match="not writable by others"):
        Workspace(tmp_path).open()


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        Workspace(tmp_path).open()
    assert list((tmp_path / "elsewhere").iterdir()) == []
