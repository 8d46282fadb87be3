"""The server's end of one template process: asks it for workers, and for how they ended.

Laws: whoever asks gets an answer, also when the template dies, hangs or talks nonsense (`CannotFork`; an exit status
that nobody knows).  A worker that nobody waits for any more is ended.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from stoker.errors import WorkerDied
from stoker.ipc import fork_messages as messages
from stoker.ipc.fork_messages import (
    Exited,
    Failed,
    Fork,
    Forked,
    FromTemplate,
    Prepare,
    Ready,
    Reap,
    Refused,
    ToTemplate,
)
from stoker.ipc.frames import FrameError
from stoker.ipc.to_worker import Load
from stoker.pool import causes
from stoker.pool.child_process import Ends, WorkerProcess, kill_group, plumb
from stoker.pool.logs import PipeLog
from stoker.pool.out_of_memory import memory_kills
from stoker.pool.repeats import Repeats

logger = logging.getLogger(__name__)

FORK_TIMEOUT_S = 5.0
REAP_TIMEOUT_S = 5.0
_KILL_WAIT_S = 10.0  # as long as for a worker
_STARTED_AT = 19  # the field of /proc/PID/stat, counted from the one behind the name


class CannotFork(Exception):
    """No worker from here, now; a spawned one is as good. The text says why.

    ``for_good``: another template of the same kind would refuse, too.
    """

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


class Template:
    """``prepared`` is done with what came of the preparation; None: the process ended before it said so.

    ``on_lost`` is told once when the process is gone. Then call nothing but `close`.  ``outputs``: what the templates
    before it said on standard output and error.  ``about``: what log lines of its output say of it.
    """

    def __init__(
        self,
        process: WorkerProcess,
        *,
        label: str,
        on_lost: Callable[[Template], None],
        on_metric: Callable[[str], bool] = lambda line: False,
        outputs: tuple[Repeats | None, Repeats | None] = (None, None),
        about: Mapping[str, object] | None = None,
    ) -> None:
        self._process = process
        self._label = label
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._requests = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ForkedChild]] = {}
        self._reaping: dict[int, Callable[[int | None], None]] = {}
        about = {**(about or {}), "pid": process.pid}
        self._logs = [
            PipeLog(
                process.stdout_fd,
                level=logging.INFO,
                label=f"{label}-stdout",
                about=about,
                on_metric=on_metric,
                repeats=outputs[0],
            ),
            PipeLog(
                process.stderr_fd,
                level=logging.WARNING,
                label=f"{label}-stderr",
                about=about,
                repeats=outputs[1],
            ),
        ]
        self.prepared: asyncio.Future[Ready | Failed | None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._memory_kills_before = memory_kills.count()
        self._death: WorkerDied | None = None
        self.alive = True

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, load: Load | None) -> None:
        self._loop.add_reader(self._process.sock.fileno(), self._readable)
        for log in self._logs:
            log.start()
        self._process.exited.add_done_callback(self._lost)
        self._send(Prepare(load=load))

    # ---------------------------------------------------------------------------------------- workers

    async def fork(self, *, name: str, cwd: str, env: Mapping[str, str]) -> WorkerProcess:
        """A worker like one that is spawned with these.

        Raises:
            CannotFork: there is none, and nothing is left of it.
            OSError: too many open files.
        """
        ours, theirs = plumb()
        try:
            with theirs.closing():
                child = await self._child(Fork(request=next(self._requests), name=name, cwd=cwd, env=dict(env)), theirs)
        except BaseException:
            ours.close()
            raise
        process = WorkerProcess(child, ours)
        process.watch()
        return process

    async def _child(self, request: Fork, theirs: Ends) -> ForkedChild:
        answer: asyncio.Future[ForkedChild] = self._loop.create_future()
        self._waiting[request.request] = answer
        try:
            self._send(request, theirs.fds())
            await asyncio.wait({answer}, timeout=FORK_TIMEOUT_S)
        except BaseException:
            _discard(answer)
            raise
        finally:
            self._waiting.pop(request.request, None)
        if not answer.done():
            self.kill()
            raise CannotFork("its template does not answer")
        return answer.result()

    def reap(self, pid: int, told: Callable[[int | None], None]) -> None:
        """``told`` gets the exit status of a dead worker; None: it is lost."""
        if not self.alive:
            self._loop.call_soon(told, None)
            return
        self._reaping[pid] = told
        self._loop.call_later(REAP_TIMEOUT_S, self._not_told, pid, told)
        try:
            self._send(Reap(pid))
        except CannotFork:
            self.kill()

    def _not_told(self, pid: int, told: Callable[[int | None], None]) -> None:
        if self._reaping.get(pid) is told:
            self.kill()

    # ---------------------------------------------------------------------------------------- the line

    def _send(self, message: ToTemplate, fds: list[int] | None = None) -> None:
        if not self.alive:
            raise CannotFork("its template died")
        try:
            messages.send(self._process.sock, message, fds or ())
        except (OSError, FrameError) as error:  # a template that does not read is as good as none
            raise CannotFork(f"its template cannot be asked: {error}") from None

    def _readable(self) -> None:
        while self.alive and self._read_one():
            pass

    def _read_one(self) -> bool:
        """Whether there may be more."""
        try:
            data, fds = messages.receive(self._process.sock)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data, fds = b"", []
        if not data:
            self._stop_reading()
            self.kill()
            return False
        try:
            self._take(messages.decode_from_template(data), fds)
        except FrameError as error:
            logger.error("%s broke the protocol: %s", self._label, error, extra={"event": "bad_frame"})
            self.kill()
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _take(self, message: FromTemplate, fds: list[int]) -> None:
        if isinstance(message, Forked):
            self._forked(message, fds)
        elif isinstance(message, Refused):
            answer = self._waiting.get(message.request)
            if answer is not None and not answer.done():
                answer.set_exception(CannotFork(message.reason, for_good=True))
        elif isinstance(message, Exited):
            told = self._reaping.pop(message.pid, None)
            if told is not None:
                told(message.code)
        elif not self.prepared.done():
            self.prepared.set_result(message)
            if isinstance(message, Ready):
                for log in self._logs:
                    log.loaded()

    def _forked(self, message: Forked, fds: list[int]) -> None:
        if not fds:
            raise FrameError("a worker without its pidfd")
        child = ForkedChild(message.pid, fds.pop(), template=self)
        answer = self._waiting.get(message.request)
        if answer is not None and not answer.done():
            answer.set_result(child)
        else:
            child.discard()

    # ---------------------------------------------------------------------------------------- the end

    def kill(self) -> None:
        self._process.kill_group()

    def _lost(self, _: object) -> None:
        self._readable()  # what it said before
        self.alive = False
        self._stop_reading()
        for log in self._logs:
            log.close()
        if not self.prepared.done():
            self.prepared.set_result(None)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(CannotFork("its template died"))
        reaping, self._reaping = self._reaping, {}
        for told in reaping.values():
            told(None)
        self._process.close()
        self._gone.set_result(None)
        self._on_lost(self)

    def _stop_reading(self) -> None:
        if self._process.sock.fileno() >= 0:
            self._loop.remove_reader(self._process.sock.fileno())

    async def close(self) -> None:
        """Ends the process; its workers serve on. Idempotent."""
        self.kill()
        await asyncio.wait({self._gone}, timeout=_KILL_WAIT_S)

    def death(self) -> WorkerDied:
        """Why it ended by itself: the same for every worker that waited for it."""
        if self._death is None:
            exited = self._process.exited
            code = exited.result() if exited.done() else None
            kills = self._memory_kills_before
            self._death = causes.death_of(code, out_of_memory=lambda: memory_kills.explain(kills))
        return self._death


def _discard(answer: asyncio.Future[ForkedChild]) -> None:
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        answer.result().discard()


class ForkedChild:
    """A worker whose parent is a template. Implements `pool.child_process.Child`."""

    def __init__(self, pid: int, pidfd: int, *, template: Template) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._template = template
        self._started_at = _started_at(pid)

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, callback)

        def undo() -> None:
            if self._pidfd >= 0:
                loop.remove_reader(self._pidfd)
                self._close()

        return undo

    def kill_group(self) -> None:
        """Where the template is dead, init may have reaped the worker: then its number may be somebody else's."""
        if _started_at(self.pid) in (None, self._started_at):
            kill_group(self.pid)

    def reap(self, told: Callable[[int | None], None]) -> None:
        self._template.reap(self.pid, told)

    def discard(self) -> None:
        """Nobody wants it any more."""
        self.kill_group()
        self._close()
        self._template.reap(self.pid, lambda code: None)

    def _close(self) -> None:
        os.close(self._pidfd)
        self._pidfd = -1


def _started_at(pid: int) -> str | None:
    """What tells this process from a later one with the same number; None: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_STARTED_AT]
    except (OSError, IndexError):
        return None
