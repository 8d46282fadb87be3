"""Kills the workers when the server dies: runs a tiny process that outlives the server by a moment.

A server that is killed cannot clean up.  So a `/bin/sh` in a session of its own reads the process groups of the live
workers from a pipe; at end-of-file, which the kernel delivers however the server died, it kills them.
It shares nothing else with the server: no sockets, no terminal, no working directory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess

log = logging.getLogger(__name__)

# Only builtins of a POSIX shell, which starts in a millisecond and takes half a megabyte.
_SCRIPT = """
trap '' INT TERM HUP QUIT PIPE
live=' '
while read -r what group; do
  case "$what$live" in
    +*) live="$live$group " ;;
    -*" $group "*) live="${live%% $group *} ${live#* $group }" ;;
  esac
done
for group in $live; do kill -s KILL -- "-$group"; done
exit 0
"""


class Watchdog:
    """Starts its process with the first worker; ends it when the last pool of the server releases it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()
        self._users = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def acquire(self) -> None:
        """Counts one more user. Each pool that may have workers is a user."""
        self._users += 1

    async def release(self) -> None:
        """Counts one user less; the last one closes."""
        self._users -= 1
        if self._users == 0:
            await self.close()

    def add(self, group: int) -> None:
        self._groups.add(group)
        if self._process is None:
            self._start()
        else:
            self._write("+", group)

    def remove(self, group: int) -> None:
        """Removes the group. Call it before its leader is reaped: after that the number may be reused."""
        if group in self._groups:
            self._groups.discard(group)
            self._write("-", group)

    async def close(self) -> None:
        """Has the process kill what is still alive (nothing, after a clean stop), and waits for it. Idempotent."""
        process, self._process = self._process, None
        self._groups.clear()
        if process is not None:
            _close_pipe(process)
            await asyncio.get_running_loop().run_in_executor(None, process.wait)

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except OSError as error:  # workers still exit when their socket closes
            log.warning("No watchdog for worker processes: %s", error, extra={"event": "watchdog_missing"})
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)  # a suspended watchdog must not block the server
        for group in tuple(self._groups):
            self._write("+", group)

    def _write(self, what: str, group: int) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            os.write(self._process.stdin.fileno(), f"{what} {group}\n".encode())
        except BlockingIOError:
            log.warning("The watchdog for worker processes does not read its input", extra={"event": "watchdog_stuck"})
        except BrokenPipeError:
            self._restart()

    def _restart(self) -> None:
        log.warning("The watchdog for worker processes was killed; starting another")
        dead, self._process = self._process, None
        if dead is not None:
            _close_pipe(dead)
            dead.wait()  # its pipe is broken, so it has exited
        self._start()


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


watchdog = Watchdog()
"""The watchdog of this server process."""
