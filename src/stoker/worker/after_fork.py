"""Makes a forked process like a spawned one.

Sets anew all that an interpreter takes from its surroundings when it starts: descriptors, session, folder,
environment, search path, thread counts, seeds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_START_UP_HOOKS = frozenset({"sitecustomize", "usercustomize"})
_OPENBLAS_SETTERS = ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads")


class SearchPath(NamedTuple):
    """``rest``: what the interpreter itself puts behind the working directory and `PYTHONPATH`."""

    rest: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> SearchPath:
        here = Path.cwd()
        given = {str(here / entry) for entry in _entries(os.environ)}
        return cls(tuple(entry for entry in sys.path[1:] if entry not in given))

    def for_worker(self, cwd: str, env: Mapping[str, str]) -> list[str]:
        """Returns the search path that ``python -m`` in ``cwd`` would set."""
        first = [cwd, *(str(Path(cwd, entry)) for entry in _entries(env))]
        return list(dict.fromkeys((*first, *self.rest)))


def _entries(env: Mapping[str, str]) -> list[str]:
    return [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]


def shadowed(path: list[str]) -> str | None:
    """Names a module that is imported here already and that a spawned worker with this path would find elsewhere."""
    before = set(sys.path[1:])
    known = {name.partition(".")[0] for name in sys.modules} | _START_UP_HOOKS
    hidden = known & {name for folder in path if folder not in before for name in _modules_in(folder)}
    return min(hidden, default=None)


def _modules_in(folder: str) -> set[str]:
    """Names that may be imported from the folder, and some others."""
    try:
        with os.scandir(folder) as found:
            return {entry.name.partition(".")[0] for entry in found}
    except OSError:
        return set()


def detach(stdout_fd: int, stderr_fd: int) -> None:
    """Starts a session of its own and takes over the given output streams."""
    os.setsid()
    for fd, stream in ((stdout_fd, 1), (stderr_fd, 2)):
        os.dup2(fd, stream)
        os.close(fd)


def change_environment(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Applies the difference only, which keeps what libraries and the handler have set since."""
    for name in before.keys() - after.keys():
        os.environ.pop(name, None)
    for name, value in after.items():
        if before.get(name) != value:
            os.environ[name] = value
    time.tzset()


def reseed_and_set_threads(*, keep_threads: bool) -> None:
    """Seeds random numbers afresh and takes thread counts from the environment.

    Leaves torch's generator alone: every new process starts it with the same seed, and some models rely on that.
    ``keep_threads``: the handler chose the number of threads for torch.
    """
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    _set_threads(keep_threads=keep_threads)


@contextlib.contextmanager
def recording_thread_counts(torch: Any) -> Iterator[list[int]]:
    """Yields the list of counts that are set for torch inside the block."""
    chosen: list[int] = []
    real = torch.set_num_threads

    def set_num_threads(count: int) -> None:
        real(count)
        chosen.append(count)

    torch.set_num_threads = set_num_threads
    try:
        yield chosen
    finally:
        torch.set_num_threads = real


def _set_threads(*, keep_threads: bool) -> None:
    torch = sys.modules.get("torch")
    count = _count("MKL_NUM_THREADS", "OMP_NUM_THREADS")
    if torch is not None and not keep_threads and torch.get_num_threads() != count:
        torch.set_num_threads(count)
    blas = _count("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    if blas != 1 and "numpy" in sys.modules:
        _set_openblas_threads(blas)


def _count(*names: str) -> int:
    """Reads thread counts as the libraries do: the first variable set, else one per usable core."""
    for name in names:
        first = os.environ.get(name, "").partition(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return len(os.sched_getaffinity(0))


def _set_openblas_threads(count: int) -> None:
    for library in _mapped("openblas"):
        handle = ctypes.CDLL(library)
        for name in _OPENBLAS_SETTERS:
            setter = getattr(handle, name, None)
            if setter is not None:
                setter(count)
                break


def _mapped(word: str) -> set[str]:
    """Returns shared libraries of this process with ``word`` in their names."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if ".so" in line}
    return {path for path in paths if word in Path(path).name}
