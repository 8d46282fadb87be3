"""From the url of a registration to something on this machine.  Decides; the download itself is `archive.download`.

Order, and nothing may come before its turn: ``..`` is refused; what looks like ``http(s)://`` or ``file://`` must
match an allowed pattern; anything else is one name inside the model store.  A url that is not allowed is never looked
up as a name.

Who may put things into the store decides what is served, so a symbolic link there is followed only when its owner is
root, this user or the owner of the store: those could have put the file itself there.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from stoker.errors import ArchiveNotFound, BadRequest, ConfigurationError, ModelStoreMissing, UrlRefused

DEFAULT_ALLOWED_URLS = "https://.*"
MAX_URL_CHARS = 4096

_REMOTE = re.compile(r"(https?|file)://", re.IGNORECASE)
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class AllowedUrls:
    """Patterns that must match the whole url, in any case of letters."""

    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str) -> AllowedUrls:
        """A comma-separated list, as in ``allowed_urls``.

        Raises:
            ConfigurationError: a part is no regular expression.
        """
        parts = [part.strip() for part in text.split(",")]
        return cls(tuple(_compile(part) for part in parts if part))

    def allow(self, url: str) -> bool:
        """Asked about the url without user name and password, so that ``https://allowed@evil`` is what it is: evil."""
        try:
            parts = urlsplit(url)
            bare = without_credentials(parts)
        except ValueError:
            return False
        scheme = parts.scheme.lower()
        if _UNFIT.search(url) or scheme not in ("http", "https", "file"):
            return False
        named = [p for p in self.patterns if scheme != "file" or "file:" in p.pattern.lower()]
        return any(pattern.fullmatch(bare) for pattern in named)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ConfigurationError(f"allowed_urls: {pattern!r} is not a regular expression: {error}") from None


def without_credentials(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def redacted(url: str) -> str:
    """The url as logs and replies may show it: no user, no password, no query (which signs many download links)."""
    if not is_remote(url):
        return url
    try:
        parts = urlsplit(url)
        return without_credentials(parts._replace(query="...") if parts.query else parts)
    except ValueError:
        return "(unreadable url)"


def is_remote(url: str) -> bool:
    return _REMOTE.match(url) is not None


def file_name(url: str) -> str:
    """The last component, under which a download lies in the store and a local archive is looked up."""
    path = urlsplit(url).path if is_remote(url) else url.rstrip("/")
    return path.rpartition("/")[2]


def check_url(url: str) -> None:
    """Raises:
    BadRequest, ArchiveNotFound: whatever the settings are, this cannot be a url of a model.
    """
    if not url:
        raise BadRequest("Parameter url is required.")
    if ".." in url:
        raise ArchiveNotFound(f"Relative path is not allowed in url: {redacted(url)}")
    if len(url) > MAX_URL_CHARS or "\0" in url:
        raise ArchiveNotFound(url=redacted(url[:100]))


def check_allowed(url: str, allowed: AllowedUrls) -> None:
    if not allowed.allow(url):
        raise UrlRefused(url=redacted(url))


def find_in_store(url: str, store: Path | None, *, any_directory: bool = False) -> Path:
    """The archive or directory that a local url names.  Blocking: for a thread.

    ``any_directory``: the operator says it, not a client, so a directory anywhere may be meant.  A bare name means the
    store first, a path the directory.

    Raises:
        ArchiveNotFound, ModelStoreMissing.
    """
    in_store = _lookup(file_name(url), store)
    if in_store is not None and ("/" not in url or in_store.is_file()):
        return in_store
    if any_directory and _is_directory(url):
        return Path(url).absolute()
    if in_store is not None:
        return in_store
    if store is None:
        raise ModelStoreMissing
    raise ArchiveNotFound(url=url)


def _lookup(name: str, store: Path | None) -> Path | None:
    if store is None or name in ("", ".") or not _usable(store / name, store):
        return None
    return store / name


def _is_directory(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _usable(path: Path, store: Path) -> bool:
    try:
        entry = path.lstat()
        if stat.S_ISLNK(entry.st_mode) and entry.st_uid not in (0, os.geteuid(), store.stat().st_uid):
            return False
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
