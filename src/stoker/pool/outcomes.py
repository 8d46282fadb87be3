"""Reads the outcome of each job of a batch from a worker's frame.  PURE.

Trusts nothing that a worker sends: raises `FrameError` for counts, lengths or kinds that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from stoker.core.buffer import Buffer
from stoker.core.ports import Dropped, Outcome
from stoker.core.reply import Chunk, ResponseMeta
from stoker.errors import HandlerError, HandlerRaised, HandlerRefused, InvalidOutput, OutOfResources, ResponseTooLarge
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import DROPPED, MOST_PARTS, Failure, Meta, Parts, Results

_COPY_UP_TO_BYTES = 64 << 10  # a view would keep all of the received data alive


def of_results(message: Results, payload: memoryview, jobs: int) -> list[Outcome]:
    if jobs == 1 and message.lengths == [len(payload)] and not message.failures and not message.metas:
        return [Chunk(bytes(payload) if len(payload) <= _COPY_UP_TO_BYTES else payload)]  # nearly always
    if len(message.lengths) != jobs:
        raise FrameError(f"{len(message.lengths)} results for a batch of {jobs}")
    _check(message, payload, jobs)
    outcomes = _cut(message, payload)
    for index, failure in message.failures.items():
        outcomes[_known(index, jobs)] = error_of(failure)
    return outcomes


def of_parts(message: Parts, payload: memoryview, jobs: int) -> list[list[Chunk]]:
    """Returns the parts of each job, in order. The first part of each carries status and headers."""
    lengths = message.lengths
    if len(lengths) % jobs or not 0 < len(lengths) <= jobs * MOST_PARTS:
        raise FrameError(f"{len(lengths)} parts for a batch of {jobs}")
    _check(message, payload, jobs)
    data: Buffer = bytes(payload) if len(payload) <= _COPY_UP_TO_BYTES else payload
    parts: list[list[Chunk]] = [[] for _ in range(jobs)]
    position = 0
    for append, length in zip(cycle([those.append for those in parts]), lengths):
        if length != DROPPED:
            end = position + length
            append(Chunk(data[position:end]))
            position = end
    for index, meta in message.metas.items():
        if parts[index]:
            parts[index][0] = Chunk(parts[index][0].data, _meta(meta))
    return parts


def _check(message: Results | Parts, payload: memoryview, jobs: int) -> None:
    lengths = message.lengths
    if min(lengths, default=0) < DROPPED:
        raise FrameError("a negative length")
    if sum(lengths) + lengths.count(DROPPED) != len(payload):
        raise FrameError(f"the lengths of the results do not add up to {len(payload)} bytes")
    for index in message.metas:
        _known(index, jobs)


def _known(index: int, jobs: int) -> int:
    if not 0 <= index < jobs:
        raise FrameError(f"no job {index} in a batch of {jobs}")
    return index


def _cut(message: Results, payload: memoryview) -> list[Outcome]:
    outcomes: list[Outcome] = []
    position = 0
    metas = message.metas
    for index, length in enumerate(message.lengths):
        if length == DROPPED:
            outcomes.append(Dropped.DROPPED)
            continue
        end = position + length
        data: Buffer = payload[position:end]
        if length <= _COPY_UP_TO_BYTES:
            data = bytes(data)
        outcomes.append(Chunk(data, _meta(metas[index]) if metas and index in metas else None))
        position = end
    return outcomes


def _meta(meta: Meta) -> ResponseMeta:
    return ResponseMeta(meta.status, meta.reason, meta.headers)


_ERRORS: dict[str, Callable[[str, int], HandlerError]] = {
    "raised": HandlerRaised,
    "refused": HandlerRefused,
    "resources": OutOfResources,
    "output": InvalidOutput,
}


def error_of(failure: Failure) -> HandlerError:
    if failure.kind == "too_large":
        return ResponseTooLarge(failure.size, failure.limit)
    make = _ERRORS.get(failure.kind)
    if make is None:
        raise FrameError(f"an unknown kind of failure: {failure.kind[:40]!r}")
    return make(failure.message, failure.number)
