"""Refuses requests that a browser was tricked into sending to the management API. PURE.

Pages of other sites can make a browser send requests to this machine, and a name that suddenly resolves to this machine
(DNS rebinding) even makes such a page same-origin.  Three headers reveal it: Origin, Sec-Fetch-Site, and the name in
Host. Programs send neither of the first two, and reach the server by an address, by localhost or by its machine's name.

If the server listens to this machine only, any other name is refused.  A server that other machines reach may have
names that it does not know, so it checks the name only in requests that look like a browser's.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from stoker.config.address import is_ip
from stoker.errors import CallerRefused

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OWN_PAGES = ("same-origin", "none")
_BROWSER = "mozilla/"


class BrowserGuard:
    """``hosts``: the server's names besides localhost and IP addresses.

    ``origins``: the setting cors_allowed_origin; one origin, several between commas, or ``*``. ``local``: no other
    machine reaches the listener.
    """

    def __init__(self, *, hosts: Iterable[str] = (), origins: str | None = None, local: bool = True) -> None:
        self._hosts = frozenset(name.lower().rstrip(".") for name in hosts)
        words = (word.strip().lower().rstrip("/") for word in (origins or "").split(","))
        self._origins = frozenset(word for word in words if word)
        self._local = local

    def check(self, *, host: str | None, origin: str | None, fetch_site: str | None, agent: str | None) -> None:
        """Checks Host, Origin, Sec-Fetch-Site and User-Agent; None for a missing one. Raises CallerRefused."""
        browser = origin is not None or fetch_site is not None or (agent or "").lower().startswith(_BROWSER)
        if host and (self._local or browser) and not self._is_own_name(host):
            raise CallerRefused(
                "The name in the Host header is not one of this server's: allow it with the setting allowed_hosts."
            )
        if origin is not None:
            self._check_origin(origin, host)
        elif fetch_site is not None and fetch_site.lower() not in _OWN_PAGES:
            raise CallerRefused("Requests that a page of another site makes are not served by the management API.")

    def _check_origin(self, origin: str, host: str | None) -> None:
        if "*" in self._origins or origin.lower() in self._origins or _is_own_page(origin, host):
            return
        raise CallerRefused(
            "Requests from pages of this origin are not served by the management API. "
            "Allow it with the setting cors_allowed_origin."
        )

    def _is_own_name(self, host: str) -> bool:
        name = _name_of(host)
        if name is None:
            return False
        return name == "localhost" or name.endswith(".localhost") or name in self._hosts or is_ip(name)


def _name_of(host: str) -> str | None:
    """Returns the name or address in a Host header; None if it is invalid."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name.rstrip(".") if name else None


def _is_own_page(origin: str, host: str | None) -> bool:
    """Tells whether the page came from this server. A proxy in front may have used https."""
    try:
        page = urlsplit(origin)
        port = _DEFAULT_PORTS.get(page.scheme)
        own = urlsplit(f"//{host or ''}")
        return page.hostname is not None and (page.hostname, page.port or port) == (own.hostname, own.port or port)
    except ValueError:
        return False
