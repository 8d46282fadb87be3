"""Fixtures of several files here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from worker_rig import Rig

from stoker.worker.flusher import Flusher


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A module's ``RIG`` says what is not as usual."""
    rig = Rig(**getattr(request.module, "RIG", {}))
    yield rig
    rig.close()


@pytest.fixture
def no_flusher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread would send what is held whenever it comes to it."""
    monkeypatch.setattr(Flusher, "watch", lambda self: None)
