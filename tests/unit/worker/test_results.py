"""Every batch is answered, whatever its handler leaves behind, in each kind of loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from worker_rig import Rig

from stoker.worker import calling
from stoker.worker.context import Context


def damaging(data: Any, context: Context) -> list[str]:
    context.set_response_header(0, "a", "b")
    processors: Any = context.request_processor
    processors[0].get_response_headers = None
    return ["x"]


async def damaging_later(data: Any, context: Context) -> list[str]:
    return damaging(data, context)


@pytest.mark.parametrize(
    ("run", "handle"),
    [(Rig.run, damaging), (Rig.run_continuously, damaging), (Rig.run_async, damaging_later)],
    ids=["batches", "continuously", "asynchronously"],
)
def test_an_answer_that_cannot_be_made_is_a_failure(
    rig: Rig, run: Callable[[Rig, Any], None], handle: Callable[[Any, Context], Any]
) -> None:
    rig.predict(b"a")
    run(rig, handle)
    assert [answer.items for answer in rig.answers()] == [[calling.RAISED]]
