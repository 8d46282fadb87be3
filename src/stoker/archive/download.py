"""Downloads the archive at an allowed URL into the model store: whole, once, or not at all.

Every hop of a redirect is checked like the first url: pattern, scheme, address.  Limits: size, total time, time
without a byte, redirects.  The file appears in the store under its own name in one step, and never replaces another. No
proxy is used, since a proxy would resolve names for us.
"""

from __future__ import annotations

import http.client
import logging
import os
import ssl
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urljoin, urlsplit

from stoker.archive import addresses, aws, http_get, sources
from stoker.archive.file_source import FileSource
from stoker.archive.names import safe_parts
from stoker.archive.placing import Placement
from stoker.archive.progress import Progress
from stoker.archive.sources import AllowedUrls, redacted
from stoker.archive.threads import Stop, Stopped, run_stoppable
from stoker.errors import ArchiveExists, ArchiveUnreadable, DownloadFailed, UnsafeArchive, UrlRefused

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_REDIRECTS = (301, 302, 303, 307, 308)

Source = http_get.Response | FileSource
"""An open source of archive bytes: ``length``, ``read(size)``, ``complete``, ``close()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """``stall_s``: how long the other side may send nothing."""

    max_bytes: int = 256 << 30
    total_s: float = 3600.0
    stall_s: float = 30.0
    redirects: int = 5


class Downloader:
    def __init__(
        self,
        *,
        allowed: AllowedUrls,
        allow_private: bool,
        limits: DownloadLimits,
        executor: Executor,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._allow_private = allow_private
        self._limits = limits
        self._executor = executor
        self._tls = tls
        self._in_progress: set[Path] = set()

    async def download(self, url: str, store: Path, *, for_s3: bool = False) -> Path:
        """Downloads an archive and returns its file in the store. ``for_s3``: the request is signed with the
        credentials of the environment.

        Raises: UrlRefused, ArchiveExists, DownloadFailed, ArchiveUnreadable: nothing is left in the store then, nor
        when cancelled.
        """
        sources.check_allowed(url, self._allowed)
        target = store / _file_name(url)
        sign = _signing(url) if for_s3 else None
        if target in self._in_progress:
            raise ArchiveExists(file=target.name)
        self._in_progress.add(target)
        try:
            return await self._bounded(url, target, sign)
        finally:
            self._in_progress.discard(target)

    async def _bounded(self, url: str, target: Path, sign: http_get.Sign | None) -> Path:
        def undo(path: Path) -> None:
            path.unlink(missing_ok=True)

        try:
            return await run_stoppable(
                self._executor,
                lambda stop: self._fetch(url, target, stop, sign),
                undo=undo,
                timeout_s=self._limits.total_s,
            )
        except Stopped:
            _fail(url, f"it took longer than {self._limits.total_s:g} s")

    # -------------------------------------------------------------------------------------- in a thread

    def _fetch(self, url: str, target: Path, stop: Stop, sign: http_get.Sign | None) -> Path:
        with _saving(url), Placement(target) as file:
            log.info("Downloading %s from %s", target.name, redacted(url), extra={"event": "download_started"})
            with closing(self._source(url, stop, sign)) as source:
                progress = Progress(target.name, source.length)
                done = 0
                while piece := _read(url, source, stop):
                    done += len(piece)
                    self._check_size(url, done)
                    file.write(piece)
                    progress.add(len(piece))
            return file.commit()

    def _source(self, url: str, stop: Stop, sign: http_get.Sign | None) -> Source:
        source = _open_file(url) if urlsplit(url).scheme.lower() == "file" else self._open(url, stop, sign)
        try:
            self._check_size(url, source.length or 0)
        except BaseException:
            source.close()
            raise
        return source

    def _check_size(self, url: str, size: int) -> None:
        if size > self._limits.max_bytes:
            _fail(url, f"it is larger than {self._limits.max_bytes} bytes")

    def _open(self, url: str, stop: Stop, sign: http_get.Sign | None) -> http_get.Response:
        """Follows redirects to the response that carries the archive. Signs requests to the original host only."""
        where = url
        for _ in range(self._limits.redirects + 1):
            response = self._request(where, stop, origin=url, sign=sign if _same_origin(where, url) else None)
            if response.status == http.client.OK:
                return response
            response.close()
            if response.status not in _REDIRECTS or not response.location:
                _fail(url, f"the server answered {response.status}")
            where = self._next_hop(url, urljoin(where, response.location))
        _fail(url, f"it was redirected more than {self._limits.redirects} times")

    def _next_hop(self, url: str, where: str) -> str:
        log.info("%s redirects to %s", redacted(url), redacted(where), extra={"event": "download_redirected"})
        if urlsplit(where).scheme.lower() not in ("http", "https"):
            raise UrlRefused(url=redacted(where))
        sources.check_allowed(where, self._allowed)
        return where

    def _request(self, where: str, stop: Stop, *, origin: str, sign: http_get.Sign | None) -> http_get.Response:
        try:
            return http_get.get(
                where,
                timeout_s=self._limits.stall_s,
                allow_private=self._allow_private,
                tls=self._tls,
                stop=stop,
                sign=sign,
            )
        except addresses.NotPublic:
            log.warning("%s is not at a public address", redacted(where), extra={"event": "url_refused"})
            raise UrlRefused(
                f"Given URL {redacted(where)} is not at a public address; see allow_private_urls"
            ) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            stop.check()  # the connection may have failed because `stop` shut it
            _fail(origin, _reason(error))


def _file_name(url: str) -> str:
    name = sources.file_name(url)
    try:
        safe = safe_parts(name) == (name,) and not name.startswith(".")
    except UnsafeArchive:
        safe = False
    if not safe:
        _fail(url, "it does not end in a file name")
    return name


def _signing(url: str) -> http_get.Sign:
    credentials = aws.Credentials.of(os.environ)
    if credentials is None:
        _fail(url, f"s3_sse_kms needs {', '.join(aws.VARIABLES)} in the server's environment")
    given = credentials

    def sign(host: str, path: str, query: str) -> dict[str, str]:
        return aws.headers(host=host, path=path, query=query, credentials=given, at=datetime.now(timezone.utc))

    return sign


def _same_origin(where: str, origin: str) -> bool:
    one, other = (
        sources.without_credentials(urlsplit(url)._replace(path="", query="", fragment="")) for url in (where, origin)
    )
    return one.lower() == other.lower()


def _fail(url: str, reason: str) -> NoReturn:
    """Logs the reason and raises an error without it: clients learn nothing about the server's network."""
    log.error("Failed to download %s: %s", redacted(url), reason, extra={"event": "download_failed"})
    raise DownloadFailed(url=redacted(url))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


@contextmanager
def _saving(url: str) -> Iterator[None]:
    """Reports an OSError of the disk. Those of the network do not get here: `_fail` has replaced them."""
    try:
        yield
    except OSError as error:
        log.error("Failed to save %s: %s", redacted(url), error.strerror, extra={"event": "download_failed"})
        raise ArchiveUnreadable(url=redacted(url)) from error


def _read(url: str, source: Source, stop: Stop) -> bytes:
    """Returns the next piece, empty at a proper end."""
    try:
        piece = source.read(_CHUNK_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        stop.check()  # the connection may have failed because `stop` shut it
        _fail(url, _reason(error))
    stop.check()
    if not piece and not source.complete:
        _fail(url, "it is shorter than announced")
    return piece


def _open_file(url: str) -> FileSource:
    parts = urlsplit(url)
    if parts.netloc.lower() not in ("", "localhost"):
        _fail(url, "a file url must not name a host")
    try:
        return FileSource.open(unquote(parts.path))
    except (OSError, ValueError) as error:
        _fail(url, _reason(error))
