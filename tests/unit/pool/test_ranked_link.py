"""What the ranks of a worker say, and what the scheduler hears of it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stoker.core.job import Batch, Input, Job, ModelKey
from stoker.core.ports import Outcome
from stoker.core.ranks import Ranks
from stoker.errors import HandlerError, ServingError
from stoker.ipc import codec
from stoker.ipc.frames import Decoder, FrameError
from stoker.ipc.to_server import Failure, Hello, Loaded, LoadFailed, Results, ToServer
from stoker.ipc.to_worker import Load, Predict, Stop, ToWorker
from stoker.pool import ranked_link
from stoker.pool.busy import BusyWorkers
from stoker.pool.ranked_link import RankedLink
from stoker.pool.ranks import rank_environment

RAISED = Failure("raised", 503, "Prediction failed")
FINE = Results(1, [2])
RAN = Results(1, [0])
FAILED = Results(1, [0], {0: RAISED})


class FakeRank:
    def __init__(self) -> None:
        self.sock, self._theirs = socket.socketpair()
        self.sock.setblocking(False)
        self._theirs.setblocking(False)
        self.progress_fd = os.memfd_create("test")
        os.ftruncate(self.progress_fd, 8)
        self._decoder = Decoder()

    async def say(self, message: ToServer, payload: bytes = b"") -> None:
        buffers = codec.encode(message, [payload] if payload else [])
        await asyncio.get_running_loop().sock_sendall(self._theirs, b"".join(buffers))

    async def hear(self) -> ToWorker:
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._theirs, 65536), 30)
        (frame,) = self._decoder.feed(data)
        return codec.decode_to_worker(frame.header)

    def began(self, batch: int) -> None:
        os.pwrite(self.progress_fd, batch.to_bytes(8, "little"), 0)

    def close(self) -> None:
        self.sock.close()
        self._theirs.close()
        os.close(self.progress_fd)


class FakeGroup:
    def __init__(self, ranks: Sequence[FakeRank]) -> None:
        self.ranks, self.others = ranks, list(ranks)[1:]
        self.sock, self.progress_fd = ranks[0].sock, ranks[0].progress_fd
        self.shares_cores = True
        self.devices = range(len(ranks))
        self.stopping = False

    def __iter__(self) -> Any:
        return iter(self.ranks)


class Recorder:
    """Scheduler and owner in one."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    def batch_done(self, worker: object, batch: int, outcomes: Sequence[Outcome], handler_s: float = -1.0) -> None:
        self.events.put_nowait(("done", batch, list(outcomes)))

    def greeted(self) -> None:
        self.events.put_nowait(("greeted",))

    def loaded(self, message: Loaded | LoadFailed) -> None:
        self.events.put_nowait(("loaded", message))

    def answered(self) -> None: ...

    def lost(self, error: FrameError | None) -> None:
        self.events.put_nowait(("lost", error))

    def restart(self, reason: ServingError) -> None:
        self.events.put_nowait(("restart", reason))

    async def next(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.events.get(), 30)


@asynccontextmanager
async def linked(ranks: Ranks = Ranks("tp", 2)) -> AsyncIterator[tuple[RankedLink, Recorder, list[FakeRank]]]:  # noqa: B008 - immutable
    fakes = [FakeRank() for _ in range(ranks.processes)]
    recorder: Any = Recorder()
    link = RankedLink(
        9000,
        FakeGroup(fakes),  # type: ignore[arg-type]
        ranks,
        owner=recorder,
        scheduler=recorder,
        max_payload_bytes=1 << 20,
        busy=BusyWorkers(2),
    )
    link.start()
    try:
        yield link, recorder, fakes
    finally:
        link.close()
        for fake in fakes:
            fake.close()


def batch() -> Batch:
    return Batch(1, [Job(ModelKey("m", "1"), [Input("data", "", b"in")])])


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_worker_is_greeted_and_loaded_once_all_ranks_are() -> None:
    async with linked() as (link, recorder, (first, second)):
        await second.say(Hello(pid=2, python="3"))
        await first.say(Hello(pid=1, python="3"))
        assert await recorder.next() == ("greeted",)
        link.load(Load(model_name="m", model_dir="", handler="h", gpu_id=4))
        for number, rank in enumerate((first, second)):
            message = await rank.hear()
            assert isinstance(message, Load) and (message.rank, message.gpu_id) == (number, number)
        await second.say(Loaded(seconds=1.0, torch=True))
        await settled()
        assert recorder.events.empty()
        await first.say(Loaded(seconds=2.0, torch=True))
        assert (await recorder.next())[0] == "loaded"


async def test_a_rank_that_cannot_load_is_named_at_once() -> None:
    async with linked() as (_, recorder, (first, second)):
        for rank in (first, second):
            await rank.say(Hello(pid=1, python="3"))
        await recorder.next()
        await second.say(LoadFailed(number=500, message="ValueError: no"))
        assert await recorder.next() == ("loaded", LoadFailed(number=500, message="rank 1: ValueError: no"))


@pytest.mark.parametrize("first_answers", [True, False])
async def test_a_batch_is_over_when_rank_0_answered_and_all_have_run_it(first_answers: bool) -> None:
    async with linked() as (link, recorder, ranks):
        link.send(batch())
        for rank in ranks:
            assert isinstance(await rank.hear(), Predict)
        says = [(ranks[0], FINE, b"ok"), (ranks[1], RAN, b"")]
        for number, (rank, message, payload) in enumerate(says if first_answers else says[::-1]):
            assert recorder.events.empty(), number
            await rank.say(message, payload)
            await settled()
        _, number, (outcome,) = await recorder.next()
        assert (number, bytes(outcome.data)) == (1, b"ok")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (FINE, FAILED, "Prediction failed (rank 1)"),
        (FAILED, RAN, "Prediction failed"),
        (FAILED, FAILED, "Prediction failed"),
    ],
)
async def test_a_failure_on_any_rank_fails_the_batch(first: Results, second: Results, text: str) -> None:
    async with linked() as (link, recorder, ranks):
        link.send(batch())
        await ranks[0].say(first, b"ok" if first is FINE else b"")
        await ranks[1].say(second)
        _, _, (outcome,) = await recorder.next()
        assert isinstance(outcome, HandlerError) and str(outcome) == text


@pytest.mark.parametrize("number", [0, 1])
async def test_a_rank_that_waits_for_one_that_failed_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(ranked_link, "FAILED_GRACE_S", 0.0)
    async with linked() as (link, recorder, ranks):
        link.send(batch())
        await ranks[number].say(FAILED)
        what, reason = await recorder.next()
        assert what == "restart" and f"rank {number} failed (Prediction failed)" in str(reason)


async def test_with_pipelines_only_rank_0_gets_and_answers_batches() -> None:
    async with linked(Ranks("pp", 2)) as (link, recorder, ranks):
        link.send(batch())
        assert isinstance(await ranks[0].hear(), Predict)
        await ranks[0].say(FINE, b"ok")
        assert (await recorder.next())[0] == "done"
        link.stop()
        assert isinstance(await ranks[1].hear(), Stop)


async def test_a_rank_that_answers_what_it_was_not_asked_breaks_the_protocol() -> None:
    async with linked() as (link, recorder, ranks):
        link.send(batch())
        await ranks[1].say(Results(7, [0]))
        assert isinstance((await recorder.next())[1], FrameError)


async def test_a_batch_has_begun_when_any_rank_began_it() -> None:
    async with linked() as (link, _, ranks):
        assert link.started() == 0
        ranks[1].began(3)
        assert link.started() == 3


def test_each_rank_has_the_environment_that_torchrun_makes() -> None:
    env = rank_environment(1, Ranks("tp", 2, threads=3), port=1234, run_id="m_1234")
    assert (env["RANK"], env["LOCAL_RANK"], env["WORLD_SIZE"], env["GROUP_RANK"]) == ("1", "1", "2", "0")
    assert (env["MASTER_ADDR"], env["MASTER_PORT"], env["OMP_NUM_THREADS"]) == ("localhost", "1234", "3")
    assert env["TORCHELASTIC_USE_AGENT_STORE"] == "False", "rank 0 has the store"
    assert rank_environment(0, Ranks("custom", 4), port=0, run_id="") == {}
