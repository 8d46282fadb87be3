"""One worker process as the operating system sees it: spawn, death, kill, reap.

Each worker leads a session and a process group of its own, so that it is killed together with whatever its handler
started, and so that neither Ctrl-C nor the terminal reaches it.  Death is read from a pidfd: end-of-file on the socket
proves nothing, because a handler's own child may hold it open.

Law: the group is killed *before* its leader is reaped: until then no other process can own its number.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from stoker.pool import reaper
from stoker.pool.environment import WorkerOptions

__all__ = ["PROGRESS_BYTES", "WorkerOptions", "WorkerProcess", "kill_group", "on_exit", "reap_adopted", "spawn"]

PROGRESS_BYTES = 8
_SOCKET_BUFFER_BYTES = 1 << 20  # the kernel may grant less
_ADOPTION_S = 0.2  # SIGKILL takes a moment
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """A spawned process. ``exited`` gets its return code (see `subprocess.Popen.returncode`) once it is reaped.

    The owner closes: `close` after ``exited`` is done.
    """

    def __init__(self, popen: subprocess.Popen[bytes], *, sock: socket.socket, progress_fd: int) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.sock = sock
        self.progress_fd = progress_fd
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._unwatch: Callable[[], None] = lambda: None

    @property
    def stdout_fd(self) -> int:
        assert self._popen.stdout is not None
        return self._popen.stdout.fileno()

    @property
    def stderr_fd(self) -> int:
        assert self._popen.stderr is not None
        return self._popen.stderr.fileno()

    def watch(self) -> None:
        reaper.watchdog.add(self.pid)
        self._unwatch = on_exit(self.pid, self._reap)

    def kill_group(self) -> None:
        """Ends the process and all it started. No effect once it is reaped."""
        if self._popen.returncode is None:
            kill_group(self.pid)

    def _reap(self) -> None:
        self._unwatch()
        self.kill_group()
        reaper.watchdog.remove(self.pid)
        code = self._popen.wait()  # it is a zombie already: this does not wait
        if os.getpid() == 1:  # in a container without an init, orphans become our children
            asyncio.get_running_loop().call_later(_ADOPTION_S, reap_adopted, self.pid)
        if not self.exited.done():
            self.exited.set_result(code)

    def abandon(self) -> None:
        """It could not be watched, so it must not live."""
        self.kill_group()
        reaper.watchdog.remove(self.pid)
        self._popen.wait()
        self.close()

    def memory_bytes(self) -> int:
        """Resident size; 0 when there is no process or no /proc."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            return 0

    def close(self) -> None:
        self._unwatch()
        self.sock.close()
        if self.progress_fd >= 0:
            os.close(self.progress_fd)
            self.progress_fd = -1
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()


def spawn(command: Callable[[int, int], Sequence[str]], *, cwd: str, env: Mapping[str, str]) -> WorkerProcess:
    """``command`` gets the numbers of the worker's socket and of its progress marker.

    Raises:
        OSError: no such interpreter or folder, or too many files or processes; nothing is left behind.
    """
    with ExitStack() as undo:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.callback(ours.close)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        with theirs:
            progress_fd = _progress_marker()
            undo.callback(os.close, progress_fd)
            popen = subprocess.Popen(
                command(theirs.fileno(), progress_fd),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(theirs.fileno(), progress_fd),
                start_new_session=True,
            )
        undo.pop_all()
    process = WorkerProcess(popen, sock=ours, progress_fd=progress_fd)
    try:
        for fd in (ours.fileno(), process.stdout_fd, process.stderr_fd):
            os.set_blocking(fd, False)
        process.watch()
    except BaseException:
        process.abandon()
        raise
    return process


def _progress_marker() -> int:
    """Eight shared zero bytes; sealed, so that a worker cannot blow the file up at the server's cost."""
    if not hasattr(os, "memfd_create"):  # not Linux
        with tempfile.TemporaryFile(buffering=0) as file:
            file.truncate(PROGRESS_BYTES)
            return os.dup(file.fileno())
    fd = os.memfd_create("stoker-progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PROGRESS_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nobody left, or (macOS) only zombies


def reap_adopted(group: int) -> None:
    """Takes the zombies among our children that were members of a killed group."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def on_exit(pid: int, callback: Callable[[], None]) -> Callable[[], None]:
    """Calls ``callback`` on the loop when our child ``pid`` is dead and not yet reaped; returns the undo."""
    loop = asyncio.get_running_loop()
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # no pidfd here: an older kernel, a sandbox, or not Linux
        return _on_exit_by_thread(pid, callback, loop)
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
            pass  # reaped already, or the loop is closed: nobody wants to know

    def undo() -> None:
        nonlocal wanted
        wanted = False

    threading.Thread(target=wait, name=f"wait-{pid}", daemon=True).start()
    return undo
