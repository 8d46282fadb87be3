"""`ModelStore` and `WorkflowStore`: turn the URL of a registration into an unpacked archive, and remove it again.

Called on the event loop; everything that touches a disk or a network runs in threads.

Invariants: a failed or cancelled `fetch_and_unpack` leaves nothing, neither unpacked files nor a download; what it
returns stays until `discard`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Generic, TypeVar

from stoker.archive import sources
from stoker.archive.download import Downloader, DownloadLimits
from stoker.archive.file_source import open_regular
from stoker.archive.limits import UnpackLimits
from stoker.archive.local import Places
from stoker.archive.manifest import Manifest
from stoker.archive.placing import sweep
from stoker.archive.sources import AllowedUrls
from stoker.archive.threads import Stop, run_stoppable
from stoker.archive.unpack import unpack
from stoker.archive.workflow_manifest import MANIFEST_PATH as WORKFLOW_MANIFEST
from stoker.archive.workflow_manifest import WorkflowManifest
from stoker.core.private_folder import PrivateFolder, remove_tree
from stoker.errors import (
    ArchiveExists,
    ArchiveNotFound,
    ArchiveUnreadable,
    ConfigurationError,
    InvalidArchive,
    InvalidWorkflow,
    ModelStoreMissing,
    PathRefused,
    ServerStopping,
    WorkflowArchiveExists,
    WorkflowArchiveNotFound,
)

log = logging.getLogger(__name__)

_THREADS = 4
_SHOWN_CHARS = 300
_NOT_FOUND = {
    ArchiveNotFound: "Workflow not found in workflow store: {url}",
    PathRefused: "Given path {url} is not in the workflow store: see the setting allowed_model_paths",
    ModelStoreMissing: "Workflow store has not been configured.",
}
"""Messages for workflows, in place of those that speak of models; other errors have the same for both."""


M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked(Generic[M]):
    """An unpacked archive. ``root`` is what `discard` deletes, ``model_dir`` where the handler's files are.

    ``url``: as registered, without credentials. ``file_name``: its name in the store. ``downloaded``: the file that the
    registration brought into the store, None when it was there before. ``in_place``: a directory, used where it is.
    ``external_path``: the path that was named, if it is not an entry of the store.
    """

    manifest: M
    model_dir: Path
    root: Path
    url: str
    file_name: str
    downloaded: Path | None = None
    in_place: bool = False
    external_path: str | None = None

    @property
    def venv_dir(self) -> Path:
        """Returns where the model's virtual environment belongs; `discard` deletes it too."""
        return self.root.with_name(self.root.name + ".venv")


UnpackedModel = Unpacked[Manifest]
UnpackedWorkflow = Unpacked[WorkflowManifest]


class _Store(ABC, Generic[M]):
    """A folder of archives of one ``KIND``. ``SUFFIXES``: of their files."""

    KIND: ClassVar[str]
    SUFFIXES: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        store: Path | None,
        *,
        temp_dir: Path,
        allowed_model_paths: tuple[Path, ...] = (),
        allowed_urls: AllowedUrls | str = sources.DEFAULT_ALLOWED_URLS,
        allow_private_urls: bool = False,
        unpack_limits: UnpackLimits = UnpackLimits(),  # noqa: B008 - frozen
        download_limits: DownloadLimits = DownloadLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._store = store
        self._places = Places(store, allowed_model_paths)
        self._allowed = AllowedUrls.parse(allowed_urls) if isinstance(allowed_urls, str) else allowed_urls
        self._limits = unpack_limits
        self._temp_dir = temp_dir
        self._folder = PrivateFolder(temp_dir)
        self._opening = threading.Lock()
        self._opened = False
        self._closed = False
        # Two thread pools, so that hanging downloads never delay a model that is already in the store.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="stoker-archive")
        self._download_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="stoker-download")
        self._downloader = Downloader(
            allowed=self._allowed,
            allow_private=allow_private_urls,
            limits=download_limits,
            executor=self._download_threads,
        )

    def open(self) -> None:
        """Makes a private folder in the temp folder and removes what a killed server left there. Blocking, idempotent;
        the first `fetch_and_unpack` does it too, in a thread.

        Raises: ConfigurationError: the temp folder cannot be used.
        """
        with self._opening:
            if not self._opened and self._store is not None:
                sweep(self._store)
            self._opened = True
            try:
                if not self._folder.is_open:
                    self._folder.open()
            except OSError as error:
                raise ConfigurationError(
                    f"Cannot use the temp directory {self._temp_dir}: {error.strerror}. Set TEMP to another one."
                ) from error

    def close(self) -> None:
        """Waits for deletions in progress; nothing can be fetched afterwards. Idempotent."""
        self._closed = True
        self._download_threads.shutdown(wait=True)
        self._threads.shutdown(wait=True)
        self._folder.close()

    @abstractmethod
    def _load(self, folder: Path) -> M:
        """Reads the manifest of an unpacked archive. Blocking. Raises ArchiveError."""

    async def fetch_and_unpack(
        self, url: str, *, from_operator: bool = False, for_s3: bool = False, keep: bool = True
    ) -> Unpacked[M]:
        """``from_operator``: the url comes from the command line or the settings, so any path may be named. ``for_s3``:
        as in `Downloader.download`. ``keep``: a downloaded archive goes into the store; else it is only unpacked.

        Raises: ArchiveError (any kind), BadRequest, ServerStopping: nothing is left behind then, nor when cancelled.
        """
        sources.check_url(url)
        if self._closed:
            raise ServerStopping
        if not sources.is_remote(url):
            return await self._unpack_local(url, from_operator)
        sources.check_allowed(url, self._allowed)
        if not keep:
            return await self._fetch_and_forget(url, for_s3)
        if self._store is None:
            raise ModelStoreMissing
        downloaded = await self._downloader.download(url, self._store, for_s3=for_s3)
        try:
            return await self._run(lambda stop: self._unpack_file(url, downloaded, stop, downloaded=downloaded))
        except BaseException:
            downloaded.unlink(missing_ok=True)
            raise

    async def _fetch_and_forget(self, url: str, for_s3: bool) -> Unpacked[M]:
        def make_folder() -> Path:
            self.open()
            folder = self._new_root()
            folder.mkdir(mode=0o700)
            return folder

        folder = await asyncio.get_running_loop().run_in_executor(self._threads, make_folder)
        try:
            file = await self._downloader.download(url, folder, for_s3=for_s3)
            return await self._run(lambda stop: self._unpack_file(url, file, stop))
        finally:
            self._remove_in_background(folder)

    async def check_links(self, unpacked: Unpacked[M], names: Iterable[str]) -> None:
        """Checks that these files are where they seem to be; unpacked models have no links. Raises InvalidArchive."""

        def work() -> None:
            for name in names:
                self._places.check_inside(unpacked.model_dir, name)

        if unpacked.in_place:
            await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def discard(self, unpacked: Unpacked[M], *, delete_download: bool) -> None:
        """Moves the files out of the way at once and deletes them in the background. Idempotent, never fails."""
        if delete_download and unpacked.downloaded is not None:
            unpacked.downloaded.unlink(missing_ok=True)
        for path in (unpacked.root, unpacked.venv_dir):
            self._remove_in_background(path)

    def _remove_in_background(self, path: Path) -> None:
        if path.is_symlink():
            path.unlink(missing_ok=True)
            return
        gone = path.with_name(path.name + ".gone")
        try:
            path.rename(gone)
            self._threads.submit(remove_tree, gone)
        except FileNotFoundError:
            pass  # discarded before, or never created
        except (OSError, RuntimeError):  # cannot be moved, or the threads have ended
            remove_tree(gone if gone.exists() else path)

    def startup_names(self) -> list[str]:
        """Returns what ``all`` loads: archives and directories of the store, by name. Raises ModelStoreMissing."""
        if self._store is None:
            return []
        try:
            entries = sorted(self._store.iterdir())
        except OSError as error:
            raise ModelStoreMissing(f"Cannot list the {self.KIND} store: {error.strerror}") from None
        return [entry.name for entry in entries if not entry.name.startswith(".") and self._is_archive(entry)]

    def _is_archive(self, entry: Path) -> bool:
        return entry.name.endswith(self.SUFFIXES) and entry.is_file()

    # ------------------------------------------------------------------------------------- in threads

    async def _run(self, work: Callable[[Stop], Unpacked[M]]) -> Unpacked[M]:
        def opened(stop: Stop) -> Unpacked[M]:
            self.open()
            return work(stop)

        return await run_stoppable(self._threads, opened, undo=lambda unpacked: remove_tree(unpacked.root))

    async def _unpack_local(self, url: str, from_operator: bool) -> Unpacked[M]:
        def work(stop: Stop) -> Unpacked[M]:
            path, external_path = self._places.find(url, from_operator=from_operator)
            if path.is_dir():
                return self._link_directory(url, path, external_path=external_path)
            return self._unpack_file(url, path, stop, external_path=external_path)

        return await self._run(work)

    def _new_root(self) -> Path:
        """Returns an unused name."""
        return self._folder.path / secrets.token_hex(16)

    def _unpack_file(
        self, url: str, path: Path, stop: Stop, *, downloaded: Path | None = None, external_path: str | None = None
    ) -> Unpacked[M]:
        root = self._new_root()
        with _open(url, path) as file:
            try:
                unpack(file, root, limits=self._limits, stop=stop, name=path.name)
                return self._described(url, root, root, path.name, downloaded=downloaded, external_path=external_path)
            except OSError as error:
                remove_tree(root)
                log.error(
                    "Cannot unpack %s into %s: %s. TEMP sets the folder.",
                    path.name,
                    self._folder.path.parent,
                    error.strerror or error,
                    extra={"event": "unpack_failed"},
                )
                raise ArchiveUnreadable(url=sources.redacted(url)) from error
            except BaseException:
                remove_tree(root)
                raise

    def _link_directory(self, url: str, directory: Path, *, external_path: str | None) -> Unpacked[M]:
        """Links to a directory that is used in place, so that `discard` never touches the operator's own files.

        The link has the directory's name, so that handlers can import it as a package.
        """
        root = self._new_root()
        model_dir = root / directory.name
        try:
            root.mkdir(mode=0o700)
            model_dir.symlink_to(directory.absolute(), target_is_directory=True)
            return self._described(
                url, root, model_dir, sources.file_name(url), in_place=True, external_path=external_path
            )
        except OSError as error:
            remove_tree(root)
            raise ArchiveUnreadable(url=sources.redacted(url)) from error
        except BaseException:
            remove_tree(root)
            raise

    def _described(
        self,
        url: str,
        root: Path,
        model_dir: Path,
        file_name: str,
        *,
        downloaded: Path | None = None,
        in_place: bool = False,
        external_path: str | None = None,
    ) -> Unpacked[M]:
        return Unpacked(
            manifest=self._load(model_dir),
            model_dir=model_dir,
            root=root,
            url=sources.redacted(url),
            file_name=file_name,
            downloaded=downloaded,
            in_place=in_place,
            external_path=external_path,
        )


class ModelStore(_Store[Manifest]):
    KIND = "model"
    SUFFIXES = (".mar", ".model", ".tar.gz")

    def _load(self, folder: Path) -> Manifest:
        return Manifest.load(folder)

    def _is_archive(self, entry: Path) -> bool:
        return _is_model_directory(entry) or super()._is_archive(entry)


class WorkflowStore(_Store[WorkflowManifest]):
    """As `ModelStore`, with the errors of workflows."""

    KIND = "workflow"
    SUFFIXES = (".war",)

    async def fetch_and_unpack(
        self, url: str, *, from_operator: bool = False, for_s3: bool = False, keep: bool = True
    ) -> UnpackedWorkflow:
        """Does for workflows what `fetch_and_unpack` does for models.

        Raises: WorkflowError, DownloadFailed, ArchiveUnreadable, ServerStopping
        """
        if not url:
            raise WorkflowArchiveNotFound(url="")
        try:
            return await super().fetch_and_unpack(url, from_operator=from_operator, for_s3=for_s3, keep=keep)
        except ArchiveNotFound as error:
            text = _NOT_FOUND.get(type(error))
            message = error.message if text is None else text.format(url=sources.redacted(url)[:_SHOWN_CHARS])
            raise WorkflowArchiveNotFound(message) from None
        except ArchiveExists:
            raise WorkflowArchiveExists(file=sources.file_name(url)) from None
        except InvalidArchive as error:
            raise InvalidWorkflow(error.message) from None

    def _is_archive(self, entry: Path) -> bool:
        return _has_workflow(entry) or super()._is_archive(entry)

    def _load(self, folder: Path) -> WorkflowManifest:
        return WorkflowManifest.load(folder, check=lambda name: self._places.check_inside(folder, name))


def _has_workflow(directory: Path) -> bool:
    return (directory / WORKFLOW_MANIFEST).is_file()


def _is_model_directory(entry: Path) -> bool:
    """Accepts any directory, unless it says that it is a workflow."""
    return entry.is_dir() and not _has_workflow(entry)


def _open(url: str, path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError:
        raise ArchiveNotFound(url=sources.redacted(url)) from None
