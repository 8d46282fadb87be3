from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stoker.archive import placing
from stoker.archive.placing import Placement, sweep
from stoker.errors import ArchiveExists


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
