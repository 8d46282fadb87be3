"""The template process: prepares once, then forks workers that behave like spawned ones.

Invariants: it is single-threaded whenever it forks, which it checks; it touches no device; it runs none of a user's
code, unless it is the template of one model that asked for ``shareWeights``.  It reaps a worker only on the server's
request: until then no other process can own the worker's number.  Its workers survive its death.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
from stoker.ipc.to_worker import Load
from stoker.worker import after_fork, calling, loading, metrics
from stoker.worker.connection import leave

_TASKS = Path("/proc/self/task")


class ForkedWorker(NamedTuple):
    """Name and descriptors of a forked process, and the model if it is initialised already."""

    name: str
    socket_fd: int
    progress_fd: int
    model: loading.LoadedModel | None


class ForkServer:
    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._environment = dict(os.environ)
        self._path = after_fork.SearchPath.of_this_process()
        self._model: loading.LoadedModel | None = None
        self._chose_threads = False

    def run(self) -> ForkedWorker | None:
        """Returns in each worker that it forked, and (None) when the server closed its end."""
        while (received := self._receive()) is not None:
            message, fds = received
            if isinstance(message, Fork):
                worker = self._fork(message, fds)
                if worker is not None:
                    return worker
            elif isinstance(message, Reap):
                self._reap(message.pid)
            else:
                self._prepare(message)
        return None

    def _prepare(self, message: Prepare) -> None:
        pid = os.getpid()
        try:
            if message.load is None:
                _preload_common_imports()
            else:
                self._model, self._chose_threads = _initialise(message.load)
        except KeyboardInterrupt:
            raise
        except SystemExit as error:
            self._fail(error, message.load)
            raise
        except BaseException as error:  # such as `asyncio.CancelledError`
            calling.report(error)
            self._fail(error, message.load)
            raise SystemExit(1) from None
        if os.getpid() != pid:  # a child that the handler forked returned to here
            leave(0)
        gc.collect()
        gc.freeze()  # a collection in a worker must not write to the pages that all of them share
        self._send(Ready(obstacle()))

    def _fail(self, error: BaseException, load: Load | None) -> None:
        failed = loading.load_failed(error, load.model_dir if load else os.sep)
        self._send(Failed(number=failed.number, message=failed.message))

    def _fork(self, message: Fork, fds: list[int]) -> ForkedWorker | None:
        """Returns a `ForkedWorker` in the child, None in the parent."""
        pid = -1
        try:
            reason = self._refusal(message, fds)
            if reason is None:
                pid = os.fork()
                if pid == 0:
                    return self._become_worker(message, fds)
        except OSError as error:
            reason = f"it cannot fork: {error.strerror}"
        _close(fds)
        if pid > 0:
            self._announce(message.request, pid)
        else:
            self._send(Refused(message.request, reason or "it cannot fork"))
        return None

    def _refusal(self, message: Fork, fds: list[int]) -> str | None:
        if len(fds) != messages.MOST_FDS:
            return "its file numbers did not arrive"
        if not Path(message.cwd).is_dir():
            return "its folder is gone"
        if self._model is None:
            hidden = after_fork.shadowed(self._path.for_worker(message.cwd, message.env))
            if hidden is not None:
                return f"the model brings a module {hidden!r} of its own"
        return obstacle()

    def _announce(self, request: int, pid: int) -> None:
        """Sends the worker's number and pidfd. Opens the pidfd here, where the number cannot mean another process."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            self._send(Refused(request, f"no pidfd: {error.strerror}"))
            return
        try:
            self._send(Forked(request, pid), [pidfd])
        finally:
            os.close(pidfd)

    def _reap(self, pid: int) -> None:
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return
        self._send(Exited(pid, os.waitstatus_to_exitcode(status)))

    def _become_worker(self, message: Fork, fds: list[int]) -> ForkedWorker:
        self._end.close()
        socket_fd, progress_fd, stdout_fd, stderr_fd = fds
        after_fork.detach(stdout_fd, stderr_fd)
        after_fork.change_environment(self._environment, message.env)
        if self._model is None:  # a model that is initialised has set these already
            os.chdir(message.cwd)
            sys.path[:] = self._path.for_worker(message.cwd, message.env)
            importlib.invalidate_caches()
        after_fork.reseed_and_set_threads(keep_threads=self._chose_threads)
        return ForkedWorker(message.name, socket_fd, progress_fd, self._model)

    def _receive(self) -> tuple[ToTemplate, list[int]] | None:
        """Receives a message; None once the server closed its end. Raises FrameError: it sent something else."""
        try:
            data, fds = messages.receive(self._end)
        except ConnectionError:
            return None
        return (messages.decode_to_template(data), fds) if data else None

    def _send(self, message: FromTemplate, fds: Sequence[int] = ()) -> None:
        with contextlib.suppress(ConnectionError):  # `_receive` finds out next
            messages.send(self._end, message, fds)


def obstacle() -> str | None:
    """Returns why it must not fork, None if it may: a lock that another thread holds would stay locked in the child."""
    threads = sum(1 for _ in _TASKS.iterdir())
    return None if threads == 1 else f"it has {threads} threads"


def _preload_common_imports() -> None:
    """Imports torch and the base handler, which nearly every handler imports and which take a tenth of a second."""
    importlib.import_module("torch")
    with contextlib.suppress(Exception):  # a handler that needs them will report the error
        importlib.import_module("PIL.Image")
        importlib.import_module("stoker.handlers.base")


def _initialise(load: Load) -> tuple[loading.LoadedModel, bool]:
    """Returns the model, and whether its handler chose a number of threads for torch."""
    if importlib.util.find_spec("torch") is None:
        return loading.load(load, metrics=metrics.for_worker(load)), False
    import torch  # noqa: PLC0415 - only where it is installed

    torch.set_num_threads(1)  # a multi-threaded operation would leave threads behind
    with after_fork.recording_thread_counts(torch) as chosen:
        model = loading.load(load, metrics=metrics.for_worker(load))
    return model, bool(chosen)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
