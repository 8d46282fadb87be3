"""What a forked process has to change about itself to be like a spawned one.

Everything that a new interpreter takes from its surroundings is taken again: descriptors, session, folder, environment,
search path, thread counts, seeds.
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
        """As ``python -m`` in ``cwd`` would have it."""
        first = [cwd, *(str(Path(cwd, entry)) for entry in _entries(env))]
        return list(dict.fromkeys((*first, *self.rest)))


def _entries(env: Mapping[str, str]) -> list[str]:
    return [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]


def shadowed(path: list[str]) -> str | None:
    """A module that is imported here already, but that a spawned worker with this path would find in another file."""
    before = set(sys.path[1:])
    known = {name.partition(".")[0] for name in sys.modules} | _START_UP_HOOKS
    hidden = known & {name for folder in path if folder not in before for name in _modules_in(folder)}
    return min(hidden, default=None)


def _modules_in(folder: str) -> set[str]:
    """What may be imported from it, and some more."""
    try:
        with os.scandir(folder) as found:
            return {entry.name.partition(".")[0] for entry in found}
    except OSError:
        return set()


def take_place(stdout_fd: int, stderr_fd: int) -> None:
    """A session and streams of its own."""
    os.setsid()
    for fd, stream in ((stdout_fd, 1), (stderr_fd, 2)):
        os.dup2(fd, stream)
        os.close(fd)


def change_environment(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Changes what differs, so that what libraries and the handler have set since stays as it is."""
    for name in before.keys() - after.keys():
        os.environ.pop(name, None)
    for name, value in after.items():
        if before.get(name) != value:
            os.environ[name] = value
    time.tzset()


def be_an_individual(*, keep_threads: bool) -> None:
    """Threads by the environment, and random numbers that no other worker has.

    torch's generator is left alone: every new process starts it with the same seed, and some models rely on that.
    ``keep_threads``: the handler has said how many torch shall use.
    """
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    _set_threads(keep_threads=keep_threads)


@contextlib.contextmanager
def noticing_threads(torch: Any) -> Iterator[list[int]]:
    """The counts that somebody sets meanwhile."""
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
    """As the libraries read them: the first that is given, or one for each core that we may run on."""
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
    """The shared libraries in this process with ``word`` in their names."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if ".so" in line}
    return {path for path in paths if word in Path(path).name}
