"""How much memory is available, to a container too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stoker.pool.memory import available_percent

GIGABYTE = 1 << 30


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(total=16 * GIGABYTE, available=8 * GIGABYTE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def test_without_a_control_group_it_is_the_machines(tmp_path: Path) -> None:
    assert available_percent(tmp_path) == 50.0


@pytest.mark.parametrize(
    ("limit", "used", "files", "percent"),
    [
        ("4294967296", 3 * GIGABYTE, 0, 25.0),
        ("4294967296", 3 * GIGABYTE, GIGABYTE // 2, 37.5),
        ("4294967296", 5 * GIGABYTE, 0, 0.0),
        ("4294967296", 0, 0, 50.0),
        ("max", 3 * GIGABYTE, 0, 50.0),
    ],
)
def test_a_limit_of_the_control_group_counts(tmp_path: Path, limit: str, used: int, files: int, percent: float) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text(f"anon 7\ninactive_file {files}\nactive_file 9\n")
    assert available_percent(tmp_path) == percent
