"""Bundles models' files for nodes. Reads and hashes them in a thread, and again only if they have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from stoker.archive import bundle
from stoker.archive.bundle import Bundle
from stoker.archive.limits import UnpackLimits
from stoker.archive.threads import Stop, run_stoppable

Seal = Callable[..., Bundle]

_MOST_REMEMBERED = 64


class Bundles:
    """The bundles of all models. Remembers those that were used last."""

    def __init__(self, *, executor: Executor, limits: UnpackLimits) -> None:
        self._executor = executor
        self._limits = limits
        self._files: dict[str, ModelFiles] = {}  # the oldest first

    async def of(self, model_dir: str) -> Bundle:
        """Returns the bundle of the model in ``model_dir``. Raises as `ModelFiles.bundle`."""
        files = self._files.pop(model_dir, None) or ModelFiles(
            Path(model_dir), executor=self._executor, limits=self._limits
        )
        self._files[model_dir] = files
        if len(self._files) > _MOST_REMEMBERED:
            del self._files[next(iter(self._files))]
        return await files.bundle()


class ModelFiles:
    """The files of one model. ``folder``: its ``model_dir``."""

    def __init__(self, folder: Path, *, executor: Executor, limits: UnpackLimits, seal: Seal = bundle.seal) -> None:
        self._folder = folder
        self._executor = executor
        self._limits = limits
        self._seal = seal
        self._lock = asyncio.Lock()
        self._last: Bundle | None = None

    async def bundle(self) -> Bundle:
        """Returns the files as they are now. Concurrent calls hash them once.

        Raises: InvalidArchive, OSError: the files cannot be sent.
        """
        async with self._lock:
            self._last = await run_stoppable(self._executor, self._sealed, undo=lambda sealed: None)
            return self._last

    def _sealed(self, stop: Stop) -> Bundle:
        members = bundle.members_of(self._folder, limits=self._limits)
        if self._last is not None and self._last.members == members:
            return self._last
        return self._seal(_name_of(self._folder), members, stop=stop)


def _name_of(folder: Path) -> str:
    """Keeps the name of a directory that is used in place, which may be a package; an archive has none to keep."""
    return folder.name if folder.is_symlink() else "model"
