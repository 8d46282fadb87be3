"""Shares the machine between the processes of a parallel run: a test that is alone runs while no other test does."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def shared(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Holds the lock in ``folder``. Nobody passes one who waits for it."""
    with (folder / "machine.lock").open("w") as machine:
        with (folder / "turnstile.lock").open("w") as turnstile:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
