"""Keeps one object per event loop, which all its users share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Shared = TypeVar("Shared")


def one_per_loop(make: Callable[[asyncio.AbstractEventLoop], Shared]) -> Callable[[], Shared]:
    """Returns a function that returns the running loop's object, made on the first call. Forgets closed loops."""
    made: dict[asyncio.AbstractEventLoop, Shared] = {}

    def current() -> Shared:
        loop = asyncio.get_running_loop()
        found = made.get(loop)
        if found is None:
            for closed in [old for old in list(made) if old.is_closed()]:
                made.pop(closed, None)
            found = made[loop] = make(loop)
        return found

    return current
