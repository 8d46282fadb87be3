"""Requests that a worker answers to itself before it is ready."""

from __future__ import annotations

from typing import NamedTuple


class WarmUp(NamedTuple):
    """``request``: a file of the model's folder, as a client would send it. ``batch_sizes``: of the calls, in order;
    empty: 1 and the largest batch of the model."""

    request: str
    batch_sizes: tuple[int, ...] = ()

    def sizes(self, batch_size: int) -> tuple[int, ...]:
        return self.batch_sizes or tuple(sorted({1, batch_size}))
