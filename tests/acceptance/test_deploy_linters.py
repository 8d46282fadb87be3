"""What the linters of their formats say of the Dockerfile, the entry point and the unit of systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from deploy_kit import DEPLOY, tool

UNPINNED = ("DL3008", "DL3013")
"""Packages without versions: the newest of the base is what its security updates bring."""


def test_hadolint_accepts_the_dockerfile() -> None:
    ignored = [word for rule in UNPINNED for word in ("--ignore", rule)]
    done = subprocess.run(
        [tool("hadolint"), *ignored, DEPLOY / "docker" / "Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "stoker.service"
    text = (DEPLOY / "systemd" / "stoker.service").read_text()
    unit.write_text(text.replace("/opt/stoker/bin/torchserve", "/bin/true"))  # not installed here
    return unit


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_the_service_well_confined(unit: Path) -> None:
    """What remains of 100: the network, devices for GPUs, and what torch's compiler needs."""
    limit = ["--offline=true", "--threshold=25"]
    done = subprocess.run(["systemd-analyze", "security", *limit, unit], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
