"""A server whose answers are raw bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from download_peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    thread = threading.Thread(target=peer.run)
    thread.start()
    yield peer
    peer.close()
    thread.join()
