"""Fixtures of several files here."""

from __future__ import annotations

import pytest

from stoker.worker.flusher import Flusher


@pytest.fixture
def no_flusher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread would send what is held whenever it comes to it."""
    monkeypatch.setattr(Flusher, "watch", lambda self: None)
