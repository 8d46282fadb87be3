"""Describes the requests that a worker runs before it is ready."""

from __future__ import annotations

from typing import NamedTuple


class WarmUp(NamedTuple):
    """``request``: a file in the model's folder, with the body that a client would send. ``batch_sizes``: of the calls,
    in order; empty: 1 and the model's batch size."""

    request: str
    batch_sizes: tuple[int, ...] = ()

    def sizes(self, batch_size: int) -> tuple[int, ...]:
        return self.batch_sizes or tuple(sorted({1, batch_size}))
