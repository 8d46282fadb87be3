"""Fixtures for tests of forked workers: a torch that imports at once, and a switch for `pool_kit`."""

from __future__ import annotations

import os
from pathlib import Path

import pool_kit
import pytest

FAKE_TORCH = pool_kit.HANDLERS / "fake_torch"


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> Path:
    path = [str(FAKE_TORCH), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return FAKE_TORCH


@pytest.fixture
def only_forked(fake_torch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_kit, "forked", True)
