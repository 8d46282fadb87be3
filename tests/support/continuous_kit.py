"""A continuous handler for tests, and the answers to one of its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker_rig import Answer

from stoker.worker import calling
from stoker.worker.context import Context

RAISED = calling.RAISED


class Countdown:
    """Answers ``b"3"`` with three parts. ``calls``: ids and rows of each call; ``gone``: what had been cancelled."""

    def __init__(self, meanwhile: Callable[[int], None] = lambda step: None) -> None:
        self.left: dict[str, int] = {}
        self.calls: list[dict[str, Any]] = []
        self.gone: list[set[str]] = []
        self._meanwhile = meanwhile

    def __call__(self, data: list[dict[str, Any]], context: Context) -> list[bytes]:
        assert context.request_ids is not None
        ids = list(context.request_ids.values())
        self.calls.append(dict(zip(ids, data, strict=True)))
        self.gone.append(set(context.cancelled))
        for name, row in zip(ids, data, strict=True):
            if row:
                self.left[name] = int(row["data"])
            self.left[name] -= 1
        self._meanwhile(len(self.calls))
        context.stopping_criteria = [lambda _part, name=name: self.left[name] <= 0 for name in ids]
        return [b"%d" % self.left[name] for name in ids]


def of(answers: list[Answer], batch_id: int) -> list[Any]:
    """Parts as bytes, the end as a list."""
    return [a.items[0] if a.part else a.items for a in answers if a.batch_id == batch_id]
