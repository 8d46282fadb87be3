"""Sends one HTTP GET to one checked address. Blocking; leaves redirects to the caller."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable
from urllib.parse import SplitResult, quote, unquote, urlsplit

from stoker.archive import addresses
from stoker.archive.threads import Stop

_PORTS = {"http": 80, "https": 443}
_CONNECT_TIMEOUT_S = 10.0

Sign = Callable[[str, str, str], dict[str, str]]
"""Takes a request's Host header, path and query; returns more headers for it."""


class Response:
    """An HTTP response. ``length``: bytes of the body, None if the server did not say. Close it after use."""

    def __init__(self, connection: http.client.HTTPConnection, breaker: addresses.Breaker) -> None:
        self._connection = connection
        self._breaker = breaker
        self._response: http.client.HTTPResponse | None = None
        self._read = 0
        self.status = 0
        self.location = ""
        self.length: int | None = None

    def begin(self, path: str, headers: dict[str, str]) -> None:
        self._connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        response = self._response = self._connection.getresponse()
        self.status, self.length = response.status, response.length
        self.location = response.headers.get("Location", "")
        _check_framing(response)

    def read(self, size: int) -> bytes:
        assert self._response is not None
        data = self._response.read(size)
        self._read += len(data)
        return data

    @property
    def complete(self) -> bool:
        return self.length is None or self._read == self.length

    def close(self) -> None:
        """Idempotent."""
        if self._response is not None:
            self._response.close()
        self._connection.close()
        self._breaker.release()


def _check_framing(response: http.client.HTTPResponse) -> None:
    """Refuses framing that two parsers could understand differently."""
    lengths = {value.strip() for value in response.headers.get_all("Content-Length", [])}
    if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
        raise http.client.HTTPException("its Content-Length is not a number")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise http.client.HTTPException("it has a Content-Encoding")


def get(
    url: str,
    *,
    timeout_s: float,
    allow_private: bool,
    tls: ssl.SSLContext | None,
    stop: Stop,
    sign: Sign | None = None,
) -> Response:
    """Returns the response with its headers read. ``stop`` interrupts whatever is in progress, later reads included.

    Raises: NotPublic, Stopped; OSError, ValueError, http.client.HTTPException: the network or the other side failed.
    """
    parts = urlsplit(url)
    host, port = _host(parts), parts.port or _PORTS[parts.scheme.lower()]
    found = addresses.resolve(host, port, allow_private=allow_private)
    stop.check()
    connection = addresses.connect(found, timeout_s=min(timeout_s, _CONNECT_TIMEOUT_S), stop=stop)
    connection.settimeout(timeout_s)
    breaker = addresses.Breaker(connection, stop)
    breaker.arm()
    http_connection = http.client.HTTPConnection(host, port)
    http_connection.sock = connection
    response = Response(http_connection, breaker)
    try:
        if parts.scheme.lower() == "https":
            http_connection.sock = (tls or ssl.create_default_context()).wrap_socket(connection, server_hostname=host)
        response.begin(_path(parts), _headers(parts, host, port, sign))
    except BaseException:
        response.close()
        connection.close()
        raise
    return response


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise ValueError("it names no host")
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._')}" if parts.query else path


def _headers(parts: SplitResult, host: str, port: int, sign: Sign | None) -> dict[str, str]:
    shown_host = f"[{host}]" if ":" in host else host
    standard = port == _PORTS[parts.scheme.lower()]
    headers = {
        "Host": shown_host if standard else f"{shown_host}:{port}",
        "User-Agent": "stoker",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    if sign is not None:
        path, _, query = _path(parts).partition("?")
        headers.update(sign(headers["Host"], path, query))
    return headers
