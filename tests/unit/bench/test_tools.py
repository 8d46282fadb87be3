"""Where tools come from: unpacked, from PATH, or fetched; a package that starts a service is never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks import fetching

from stoker.bench import tools


class Apt:
    """Stands for apt-get and dpkg-deb. ``lists``: whether the machine knows any packages yet."""

    def __init__(self, *, lists: bool = True) -> None:
        self.lists = lists
        self.commands: list[str] = []

    def run(self, command: Sequence[str], *, cwd: Path | None = None, **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(" ".join(command[:2]))
        failed = False
        if command[:2] == ["apt-get", "update"]:
            self.lists = True
        elif command[:2] == ["apt-get", "download"]:
            failed = not self.lists
            if cwd is not None and not failed:
                (cwd / f"{command[2]}_1.0_amd64.deb").touch()
        elif command[0] == "dpkg-deb":
            binary = Path(command[3], "usr", "bin")
            binary.mkdir(parents=True, exist_ok=True)
            (binary / "prometheus").touch()
        return subprocess.CompletedProcess(command, int(failed))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on PATH but apt-get."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "apt-get" else None)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("uid", [0, 1000])
def test_prometheus_is_unpacked_and_never_installed_as_that_would_start_a_service(
    uid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = Apt()
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(subprocess, "run", apt.run)
    assert fetching.find_or_fetch("prometheus", home=tmp_path) == tmp_path / "usr" / "bin" / "prometheus"
    assert apt.commands == ["apt-get download", "dpkg-deb --extract"]
    assert fetching.find_or_fetch("prometheus", home=tmp_path).exists()
    assert len(apt.commands) == 2  # the second time it is there


@pytest.mark.usefixtures("nowhere")
def test_root_lets_a_fresh_machine_learn_its_packages_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(lists=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", apt.run)
    assert fetching.find_or_fetch("prometheus", home=tmp_path).exists()
    assert apt.commands == ["apt-get download", "apt-get update", "apt-get download", "dpkg-deb --extract"]


@pytest.mark.usefixtures("nowhere")
def test_what_cannot_be_had_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(subprocess, "run", Apt(lists=False).run)
    with pytest.raises(tools.ToolMissing, match="apt-get install nghttp2-client"):
        fetching.find_or_fetch("h2load", home=tmp_path)
