"""Controls template processes: has them fork workers, and asks them how those ended.

Invariants: every request is answered even if the template dies, hangs or violates the protocol: with `CannotFork`, or
with an unknown return code.  A worker whose request was abandoned is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Mapping

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
from stoker.pool.child_process import ChildProcess, Ends, ForkedProcess, make_ends
from stoker.pool.logs import output_logs
from stoker.pool.out_of_memory import memory_kills
from stoker.pool.repeats import Repeats

log = logging.getLogger(__name__)

FORK_TIMEOUT_S = 5.0
PREPARED_WITHIN_S = 15.0  # longer than `import torch` takes; after that, workers are spawned instead
REAP_TIMEOUT_S = 5.0
_KILL_WAIT_S = 10.0  # as in `pool.worker_process`


class CannotFork(Exception):
    """The template cannot fork this worker; spawn it instead. ``for_good``: a new template would refuse too."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


class Template:
    """``prepared`` gets the outcome of the preparation; None: the process ended before that.

    ``on_lost`` is called once, when the process is gone; call nothing but `close` after that.  ``outputs``: what
    earlier templates printed to standard output and error.  ``about``: fields for the log lines of its output.
    """

    def __init__(
        self,
        process: ChildProcess,
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
        self._waiting: dict[int, asyncio.Future[ForkedProcess]] = {}
        self._reaping: dict[int, Callable[[int | None], None]] = {}
        about = {**(about or {}), "pid": process.pid}
        self._logs = output_logs(process, label=label, about=about, on_metric=on_metric, repeats=outputs)
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
        for pipe in self._logs:
            pipe.start()
        self._process.exited.add_done_callback(self._lost)
        self._send(Prepare(load=load))

    # ---------------------------------------------------------------------------------------- workers

    async def fork(self, *, name: str, cwd: str, env: Mapping[str, str]) -> ChildProcess:
        """Forks a worker, with the same name, folder and environment as if it were spawned.

        Raises: CannotFork, OSError: too many open files. Either leaves no worker behind.
        """
        ours, theirs = make_ends()
        try:
            with theirs.closing():
                child = await self._child(Fork(request=next(self._requests), name=name, cwd=cwd, env=dict(env)), theirs)
        except BaseException:
            ours.close()
            raise
        process = ChildProcess(child, ours)
        process.watch()
        return process

    async def _child(self, request: Fork, theirs: Ends) -> ForkedProcess:
        answer: asyncio.Future[ForkedProcess] = self._loop.create_future()
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

    def reap(self, pid: int, on_code: Callable[[int | None], None]) -> None:
        """Reaps a dead worker, and calls ``on_code`` with its return code, or None if that is lost."""
        if not self.alive:
            self._loop.call_soon(on_code, None)
            return
        self._reaping[pid] = on_code
        self._loop.call_later(REAP_TIMEOUT_S, self._reap_timed_out, pid, on_code)
        try:
            self._send(Reap(pid))
        except CannotFork:
            self.kill()

    def _reap_timed_out(self, pid: int, on_code: Callable[[int | None], None]) -> None:
        if self._reaping.get(pid) is on_code:
            self.kill()

    # ---------------------------------------------------------------------------------------- messages

    def _send(self, message: ToTemplate, fds: list[int] | None = None) -> None:
        if not self.alive:
            raise CannotFork("its template died")
        try:
            messages.send(self._process.sock, message, fds or ())
        except (OSError, FrameError) as error:  # the former: it does not read, and so is unusable
            raise CannotFork(f"its template cannot be asked: {error}") from None

    def _readable(self) -> None:
        while self.alive and self._read_one():
            pass

    def _read_one(self) -> bool:
        """Handles one message; returns whether there may be more."""
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
            log.error("%s broke the protocol: %s", self._label, error, extra={"event": "bad_frame"})
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
            on_code = self._reaping.pop(message.pid, None)
            if on_code is not None:
                on_code(message.code)
        elif not self.prepared.done():
            self.prepared.set_result(message)
            if isinstance(message, Ready):
                for pipe in self._logs:
                    pipe.loaded()

    def _forked(self, message: Forked, fds: list[int]) -> None:
        if not fds:
            raise FrameError("a worker without its pidfd")
        child = ForkedProcess(message.pid, fds.pop(), reap=self.reap)
        answer = self._waiting.get(message.request)
        if answer is not None and not answer.done():
            answer.set_result(child)
        else:
            child.discard()

    # ---------------------------------------------------------------------------------------- the end

    def kill(self) -> None:
        self._process.kill_group()

    def _lost(self, _: object) -> None:
        self._readable()  # handle what it had sent before
        self.alive = False
        self._stop_reading()
        for pipe in self._logs:
            pipe.close()
        if not self.prepared.done():
            self.prepared.set_result(None)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(CannotFork("its template died"))
        reaping, self._reaping = self._reaping, {}
        for on_code in reaping.values():
            on_code(None)
        self._process.close()
        self._gone.set_result(None)
        self._on_lost(self)

    def _stop_reading(self) -> None:
        if self._process.sock.fileno() >= 0:
            self._loop.remove_reader(self._process.sock.fileno())

    async def close(self) -> None:
        """Ends the process; its workers go on serving. Idempotent."""
        self.kill()
        await asyncio.wait({self._gone}, timeout=_KILL_WAIT_S)

    def death(self) -> WorkerDied:
        """Returns why it died: the same error for all workers that waited for it."""
        if self._death is None:
            exited = self._process.exited
            code = exited.result() if exited.done() else None
            kills = self._memory_kills_before
            self._death = causes.death_of(code, out_of_memory=lambda: memory_kills.explain(kills))
        return self._death


def _discard(answer: asyncio.Future[ForkedProcess]) -> None:
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        answer.result().discard()


TemplateKey = tuple[str, tuple[tuple[str, str], ...]]
"""Interpreter and environment."""


class Templates:
    """Keeps the shared templates of this server, one per `TemplateKey`; each is started once a worker with that key has
    imported torch.

    A template whose preparation fails is not tried again; one that dies later is started again when the next spawned
    worker reports that it has imported torch.
    """

    def __init__(self) -> None:
        self._templates: dict[TemplateKey, Template] = {}
        self._failed: set[TemplateKey] = set()
        self._users = 0

    def acquire(self) -> None:
        """Counts one more user. Each pool that may have workers is a user."""
        self._users += 1

    async def release(self) -> None:
        """Counts one user less; the last one ends all templates."""
        self._users -= 1
        if self._users == 0:
            running = list(self._templates.values())
            self._failed.clear()
            for template in running:
                await template.close()

    def prepare(self, key: TemplateKey, spawn: Callable[[], ChildProcess]) -> None:
        """Starts the template unless it exists or has failed before. ``spawn``: starts its process."""
        if not self._users or key in self._templates or key in self._failed:
            return
        try:
            process = spawn()
        except OSError as error:
            self._give_up(key, str(error))
            return
        template = Template(process, label="template", on_lost=lambda lost: self._lost(key, lost))
        self._templates[key] = template
        template.start(None)

    async def get(self, key: TemplateKey) -> Template | None:
        """Returns a template that can fork, or None. Waits for one that is being prepared."""
        template = self._templates.get(key)
        if template is None:
            return None
        await asyncio.wait({template.prepared}, timeout=PREPARED_WITHIN_S)
        if not template.prepared.done() or not template.alive:
            return None
        outcome = template.prepared.result()
        return None if outcome is None or isinstance(outcome, Failed) or outcome.obstacle else template

    def _lost(self, key: TemplateKey, template: Template) -> None:
        del self._templates[key]
        outcome = template.prepared.result()
        if outcome is None or isinstance(outcome, Failed):
            self._give_up(key, "it ended early" if outcome is None else outcome.message)
        elif self._users:
            log.info("The template process for workers has died", extra={"event": "template_lost"})

    def _give_up(self, key: TemplateKey, reason: str) -> None:
        if self._users:
            self._failed.add(key)
            log.warning("No template process for workers: %s", reason, extra={"event": "template_failed"})


templates = Templates()
"""The templates of this server process."""
