"""One object per event loop, for as long as the loop is open."""

from __future__ import annotations

import asyncio
import gc
import weakref

from stoker.core.per_loop import one_per_loop


class Shared:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop


def test_each_loop_has_its_own() -> None:
    current = one_per_loop(Shared)

    async def mine() -> Shared:
        assert current() is current()
        assert current().loop is asyncio.get_running_loop()
        return current()

    assert asyncio.run(mine()) is not asyncio.run(mine())


def test_a_closed_loop_is_not_kept_although_its_object_refers_to_it() -> None:
    current = one_per_loop(Shared)

    async def mine() -> weakref.ref[Shared]:
        return weakref.ref(current())

    first = asyncio.run(mine())
    asyncio.run(mine())
    gc.collect()
    assert first() is None


def test_two_kinds_of_objects_do_not_mix() -> None:
    first, second = one_per_loop(Shared), one_per_loop(Shared)

    async def differ() -> bool:
        return first() is not second()

    assert asyncio.run(differ())
