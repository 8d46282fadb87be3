"""When memory is given back to the system."""

from __future__ import annotations

import pytest

from stoker.frontend import trimming
from stoker.frontend.trimming import Trimming


async def test_memory_is_given_back_once_after_many_connections_have_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[tuple[float, object]] = []
    trims: list[int] = []

    class Loop:
        def call_later(self, seconds: float, call: object) -> None:
            planned.append((seconds, call))

    monkeypatch.setattr(trimming.asyncio, "get_running_loop", Loop)
    trimmed = Trimming(trims.append)
    for _ in range(trimming._AFTER_CLOSED - 1):
        trimmed.closed()
    assert planned == []
    for _ in range(500):
        trimmed.closed()
    assert len(planned) == 1
    trimmed._run()
    assert trims == [0]
    trimmed.closed()
    assert len(planned) == 1


def test_the_c_library_is_asked_where_it_can_trim() -> None:
    trimming._malloc_trim()(0)
