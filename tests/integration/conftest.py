"""Fixtures of several files here."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model store and a temp folder, where `registry_kit.running` looks for them."""
    for name in ("store", "temp"):
        (tmp_path / name).mkdir()
    return tmp_path
