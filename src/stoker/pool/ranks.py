"""Makes the ranks of one worker, which are several processes, start, serve and end as one.

Invariants: when a rank dies, its worker dies, and no rank outlives the others; a start that fails halfway leaves no
process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

from stoker.core.ranks import Ranks
from stoker.errors import WorkerDied
from stoker.ipc.dialing import Stream
from stoker.pool.running_process import RunningProcess

_ADDRESS = "localhost"


def rank_name(name: str, rank: int) -> str:
    """Names a rank in logs. ``name``: of its worker, and of rank 0."""
    return f"{name}-rank{rank}" if rank else name


def rank_environment(rank: int, ranks: Ranks, *, port: int, run_id: str) -> dict[str, str]:
    """Makes the variables that torchrun sets for a rank. There is no torchrun agent, so rank 0 opens the store, at
    ``port``."""
    if ranks.processes == 1:
        return {}
    number, count = str(rank), str(ranks.processes)
    return {
        **dict.fromkeys(("RANK", "LOCAL_RANK", "ROLE_RANK"), number),
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE"), count),
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "ROLE_NAME": "default",
        "MASTER_ADDR": _ADDRESS,
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": str(ranks.threads),
        "LOGLEVEL": "INFO",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RUN_ID": run_id,
        "TORCHELASTIC_USE_AGENT_STORE": "False",
    }


def free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RankGroup:
    """Implements `RunningProcess` for all ranks, as if they were rank 0; ``exited`` gets the return code of the rank
    that ended first, once all are reaped. ``ended_first``: which rank that was. ``stopping``: ranks may now exit at
    different times. ``devices``: the number of each rank's device among those that the rank can see."""

    def __init__(self, ranks: Sequence[RunningProcess], *, devices: Sequence[int] | None = None) -> None:
        self._ranks = list(ranks)
        self.devices = devices or range(len(ranks))
        self._code: int | None = None
        self.ended_first: int | None = None
        self.stopping = False
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        for number, rank in enumerate(self._ranks):
            rank.exited.add_done_callback(partial(self._ended, number))

    @property
    def others(self) -> list[RunningProcess]:
        """The processes of ranks 1 and up."""
        return self._ranks[1:]

    def _ended(self, number: int, code: asyncio.Future[int | None]) -> None:
        if code.cancelled():
            return
        if self.ended_first is None or (self._code == 0 and code.result() != 0 and self.stopping):
            self.ended_first, self._code = number, code.result()
        if not (self.stopping and code.result() == 0):
            self.kill_group()
        if all(rank.exited.done() for rank in self._ranks) and not self.exited.done():
            self.exited.set_result(self._code)

    @property
    def pid(self) -> int:
        return self._ranks[0].pid

    @property
    def sock(self) -> Stream:
        return self._ranks[0].sock

    @property
    def progress_fd(self) -> int:
        return self._ranks[0].progress_fd

    @property
    def stdout_fd(self) -> int:
        return self._ranks[0].stdout_fd

    @property
    def stderr_fd(self) -> int:
        return self._ranks[0].stderr_fd

    @property
    def node(self) -> str | None:
        return self._ranks[0].node

    @property
    def shares_cores(self) -> bool:
        return any(rank.shares_cores for rank in self._ranks)

    @property
    def death(self) -> WorkerDied | None:
        return None if self.ended_first is None else self._ranks[self.ended_first].death

    def kill_group(self) -> None:
        for rank in self._ranks:
            rank.kill_group()

    def memory_bytes(self) -> int:
        return sum(rank.memory_bytes() for rank in self._ranks if not rank.exited.done())

    def close(self) -> None:
        for rank in self._ranks:
            rank.close()

    def __iter__(self) -> Iterator[RunningProcess]:
        return iter(self._ranks)


def discard(ranks: Sequence[RunningProcess]) -> None:
    """Ends the ranks of a worker when not all of them could be started."""
    for rank in ranks:
        rank.exited.add_done_callback(lambda _, process=rank: process.close())  # type: ignore[misc]  # a default binds
        rank.kill_group()
