"""Classifies the URL of a registration. PURE.

`archive.local` finds local ones, `archive.download` fetches others.  The order matters: ``..`` is refused; what looks
like ``http(s)://`` or ``file://`` must match an allowed pattern; everything else is local.  A URL that is not allowed
is never looked up as a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from stoker.core.secrets import masked
from stoker.errors import ArchiveNotFound, BadRequest, ConfigurationError, RelativeUrlRefused, UrlRefused

DEFAULT_ALLOWED_URLS = "https://.*"
MAX_URL_CHARS = 4096

_REMOTE = re.compile(r"(https?|file)://", re.IGNORECASE)
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class AllowedUrls:
    """Patterns that must match the whole URL, ignoring case."""

    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str) -> AllowedUrls:
        """Parses a comma-separated list, as in ``allowed_urls``. Raises ConfigurationError."""
        parts = [part.strip() for part in text.split(",")]
        return cls(tuple(_compile(part) for part in parts if part))

    def allow(self, url: str) -> bool:
        """Matches the URL without user name and password, so that ``https://allowed@evil`` is judged as ``evil``.

        A ``file:`` URL needs a pattern that says ``file:``: one for any scheme does not open up the disk.
        """
        try:
            parts = urlsplit(url)
            bare = without_credentials(parts)
        except ValueError:
            return False
        scheme = parts.scheme.lower()
        if _UNFIT.search(url) or scheme not in ("http", "https", "file"):
            return False
        applicable = [p for p in self.patterns if scheme != "file" or "file:" in p.pattern.lower()]
        return any(pattern.fullmatch(bare) for pattern in applicable)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ConfigurationError(f"allowed_urls: {pattern!r} is not a regular expression: {error}") from None


def without_credentials(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def redacted(url: str) -> str:
    """Returns the URL for logs and replies: without user, password and query (which signs many download links)."""
    if not is_remote(url):
        return masked(url)
    try:
        parts = urlsplit(url)
        return masked(without_credentials(parts._replace(query="..." if parts.query else "", fragment="")))
    except ValueError:
        return "(unreadable url)"


def is_remote(url: str) -> bool:
    return _REMOTE.match(url) is not None


def file_name(url: str) -> str:
    """Returns the last component: the name of a download in the store, and of a local archive."""
    path = urlsplit(url).path if is_remote(url) else url.rstrip("/")
    return path.rpartition("/")[2]


def check_url(url: str) -> None:
    """Checks a URL. Raises BadRequest, ArchiveNotFound: it cannot be the URL of a model under any settings."""
    if not url:
        raise BadRequest("Parameter url is required.")
    if ".." in url:
        raise RelativeUrlRefused(url=redacted(url))
    if len(url) > MAX_URL_CHARS or "\0" in url:
        raise ArchiveNotFound(url=redacted(url)[:100])


def check_allowed(url: str, allowed: AllowedUrls) -> None:
    if not allowed.allow(url):
        raise UrlRefused(url=redacted(url))
