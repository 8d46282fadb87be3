"""Spawns, kills and reaps child processes, and reports their exit.

Each worker leads a session and a process group of its own, so that a kill also ends whatever its handler
started, and neither Ctrl-C nor the terminal reaches it.  A pidfd reports its death: end-of-file on the socket
would not, because a child of the handler may hold the socket open.

Invariant: the group is killed *before* its leader is reaped: until then no other process can have its number.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stoker.errors import WorkerDied
from stoker.pool.progress import progress_marker
from stoker.pool.watchdog import watchdog

_SOCKET_BUFFER_BYTES = 1 << 20  # the kernel may grant less
_ADOPTION_S = 0.2  # until orphans have died of SIGKILL
_START_TIME = 19  # field of /proc/PID/stat, counted from the one after the name
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessHandle(Protocol):
    """A process, which its parent reaps: this server (`SpawnedProcess`) or a template (`ForkedProcess`)."""

    pid: int

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls ``callback`` on the loop once the process is dead and before it is reaped; returns a function that
        stops watching."""
        ...

    def kill_group(self) -> None: ...

    def reap(self, on_code: Callable[[int | None], None]) -> None:
        """Reaps the dead process, and calls ``on_code`` with its return code, or None if that is lost."""
        ...


class SpawnedProcess:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        return on_exit(self.pid, callback)

    def kill_group(self) -> None:
        kill_group(self.pid)

    def reap(self, on_code: Callable[[int | None], None]) -> None:
        on_code(self._popen.wait())  # returns at once: the process is a zombie


class ForkedProcess:
    """A worker forked by a template, which ``reap`` asks for the return code."""

    def __init__(self, pid: int, pidfd: int, *, reap: Callable[[int, Callable[[int | None], None]], None]) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._reap = reap
        self._started_at = _started_at(pid)

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        return _watch(self._pidfd, callback)

    def kill_group(self) -> None:
        """Kills the group unless its number was reused: init reaps the workers of a dead template."""
        if _started_at(self.pid) in (None, self._started_at):
            kill_group(self.pid)

    def reap(self, on_code: Callable[[int | None], None]) -> None:
        self._reap(self.pid, on_code)

    def discard(self) -> None:
        """Kills a worker that is no longer wanted, and that nothing watches."""
        self.kill_group()
        os.close(self._pidfd)
        self._reap(self.pid, lambda code: None)


def _started_at(pid: int) -> str | None:
    """Returns the start time, which tells processes with the same number apart; None: no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_START_TIME]
    except (OSError, IndexError):
        return None


class ChildProcess:
    """Implements `pool.running_process.RunningProcess` for a process on this machine."""

    def __init__(self, handle: ProcessHandle, ends: Ends) -> None:
        self._handle = handle
        self._ends = ends
        self._dead = False
        self.pid = handle.pid
        self.node: str | None = None
        self.shares_cores = True
        self.ended_first: int | None = None  # it has no ranks
        self.death: WorkerDied | None = None
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._unwatch: Callable[[], None] = lambda: None

    @property
    def sock(self) -> socket.socket:
        return self._ends.sock

    @property
    def progress_fd(self) -> int:
        return self._ends.progress_fd

    @property
    def stdout_fd(self) -> int:
        return self._ends.stdout_fd

    @property
    def stderr_fd(self) -> int:
        return self._ends.stderr_fd

    def watch(self) -> None:
        """Starts watching for the exit. If that fails, ends the process and raises OSError."""
        watchdog.add(self.pid)
        try:
            self._unwatch = self._handle.on_exit(self._reap)
        except BaseException:
            self._reap()
            self.close()
            raise

    def kill_group(self) -> None:
        """Ends the process and all it started. No effect once it is reaped."""
        if not self._dead:
            self._handle.kill_group()

    def _reap(self) -> None:
        self._unwatch()
        self.kill_group()
        self._dead = True
        watchdog.remove(self.pid)
        self._handle.reap(self._reaped)

    def _reaped(self, code: int | None) -> None:
        if os.getpid() == 1:  # in a container without an init, this process adopts orphans
            asyncio.get_running_loop().call_later(_ADOPTION_S, reap_adopted, self.pid)
        if not self.exited.done():
            self.exited.set_result(code)

    def memory_bytes(self) -> int:
        """Reads the resident set size; 0: there is no process or no /proc."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            return 0

    def close(self) -> None:
        self._unwatch()
        self._ends.close()


def spawn(
    command: Callable[[int, int], Sequence[str]],
    *,
    cwd: str,
    env: Mapping[str, str],
    kind: socket.SocketKind = socket.SOCK_STREAM,
) -> ChildProcess:
    """Starts a process. ``command`` makes its arguments from the descriptors of its socket and its progress marker.

    Raises: OSError: no such interpreter or folder, or too many files or processes; leaves nothing behind.
    """
    ours, theirs = make_ends(kind)
    with theirs.closing(), ExitStack() as undo:
        undo.callback(ours.close)
        popen = subprocess.Popen(
            command(theirs.sock.fileno(), theirs.progress_fd),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=theirs.stdout_fd,
            stderr=theirs.stderr_fd,
            pass_fds=(theirs.sock.fileno(), theirs.progress_fd),
            start_new_session=True,
        )
        undo.pop_all()
    process = ChildProcess(SpawnedProcess(popen), ours)
    process.watch()
    return process


# ----------------------------------------------------------------------------------- sockets and pipes


@dataclass(slots=True, kw_only=True)
class Ends:
    """The descriptors of one side, server or worker: socket, progress marker, standard output and error."""

    sock: socket.socket
    progress_fd: int
    stdout_fd: int
    stderr_fd: int

    def fds(self) -> list[int]:
        return [self.sock.fileno(), self.progress_fd, self.stdout_fd, self.stderr_fd]

    @contextmanager
    def closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        self.sock.close()
        fds, self.progress_fd, self.stdout_fd, self.stderr_fd = self.fds()[1:], -1, -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)


def make_ends(kind: socket.SocketKind = socket.SOCK_STREAM) -> tuple[Ends, Ends]:
    """Returns the server's ends, which are non-blocking, and the worker's. Raises OSError, leaving nothing open."""
    with ExitStack() as undo:

        def owned(fd: int) -> int:
            undo.callback(os.close, fd)
            return fd

        pair = socket.socketpair(socket.AF_UNIX, kind)
        for end in pair:
            undo.callback(end.close)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        progress = owned(progress_marker())
        outputs, errors = _pipe(owned), _pipe(owned)
        ours = Ends(sock=pair[0], progress_fd=progress, stdout_fd=outputs[0], stderr_fd=errors[0])
        theirs = Ends(sock=pair[1], progress_fd=owned(os.dup(progress)), stdout_fd=outputs[1], stderr_fd=errors[1])
        for fd in (pair[0].fileno(), ours.stdout_fd, ours.stderr_fd):
            os.set_blocking(fd, False)
        undo.pop_all()
    return ours, theirs


def _pipe(owned: Callable[[int], int]) -> tuple[int, int]:
    reader, writer = os.pipe()
    return owned(reader), owned(writer)


def kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # no process is left, or (macOS) only zombies


def reap_adopted(group: int) -> None:
    """Reaps the zombies of a killed group that this process has adopted."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def on_exit(pid: int, callback: Callable[[], None]) -> Callable[[], None]:
    """Calls ``callback`` on the loop once our child ``pid`` is dead and before it is reaped; returns a function that
    stops watching."""
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # no pidfd here: an older kernel, a sandbox, or not Linux
        return _on_exit_by_thread(pid, callback, asyncio.get_running_loop())
    return _watch(pidfd, callback)


def _watch(pidfd: int, callback: Callable[[], None]) -> Callable[[], None]:
    """Calls ``callback`` on the loop once the process is dead; returns a function that stops watching, and closes
    ``pidfd``."""
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, callback)

    def undo() -> None:
        nonlocal pidfd
        if pidfd >= 0:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            pidfd = -1

    return undo


def _on_exit_by_thread(pid: int, callback: Callable[[], None], loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    wanted = True

    def on_loop() -> None:
        if wanted:
            callback()

    def wait() -> None:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            loop.call_soon_threadsafe(on_loop)
        except (ChildProcessError, RuntimeError):
            pass  # reaped already, or the loop is closed

    def undo() -> None:
        nonlocal wanted
        wanted = False

    threading.Thread(target=wait, name=f"wait-{pid}", daemon=True).start()
    return undo
