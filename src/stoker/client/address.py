"""Parses the address of a server as people write it, or explains in one sentence why it cannot. PURE."""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass

from stoker.core.text import printable, shortened

_PLAIN_SCHEMES = ("http", "grpc", "tcp")
_TLS_SCHEMES = ("https", "grpcs")
_EXPECTED = "HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH"
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_DNS = re.compile(r"dns:(?://(?P<authority>[^/]*)/)?(?P<rest>[^/].*)", re.IGNORECASE)
_BRACKETED = re.compile(r"\[(?P<host>[0-9A-Fa-f:.%A-Za-z]+)\](?::(?P<port>.*))?")
_NAME = re.compile(r"[^\s/:\[\]@?#,\\]+")
_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535


class AddressError(ValueError):
    """An address that cannot be parsed; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """``text``: what gRPC connects to. ``tls``: the scheme asks for TLS.

    ``path``: that of a Unix socket, which has neither ``host`` nor ``port``; it starts with a NUL character in the
    abstract namespace.
    """

    text: str
    tls: bool = False
    host: str = ""
    port: int = 0
    path: str = ""


def parse(text: str, default_port: int) -> Target:
    """Parses an address. ``default_port``: used if none is given, whatever the scheme.

    Raises: AddressError
    """
    word = text.strip()
    if not word or any(not c.isprintable() for c in word):
        raise AddressError(f"{_shown(word)} is not an address: give {_EXPECTED}.")
    if word.lower().startswith(("unix:", "unix-abstract:")):
        return _unix(word)
    if dns := _DNS.fullmatch(word):
        target = _tcp(dns["rest"], word, default_port)
        return target if not dns["authority"] else Target(f"dns://{dns['authority']}/{target.text}")
    if word.lower().startswith(("ipv4:", "ipv6:")):
        return _tcp(word[5:], word, default_port)
    if url := _SCHEME.fullmatch(word):
        return _url(url["scheme"].lower(), url["rest"], word, default_port)
    return _tcp(word, word, default_port)


def _unix(word: str) -> Target:
    scheme, _, path = word.partition(":")
    if scheme.lower() == "unix-abstract":
        return Target(f"unix-abstract:{path}", path=f"\0{path}")
    if path.startswith("//"):
        path = path[2:]
    if not path:
        raise AddressError(f"{_shown(word)} has no path: give unix:/PATH.")
    return Target(f"unix:{path}", path=path)


def _url(scheme: str, rest: str, word: str, default_port: int) -> Target:
    if scheme not in _PLAIN_SCHEMES + _TLS_SCHEMES:
        near = difflib.get_close_matches(scheme, _PLAIN_SCHEMES + _TLS_SCHEMES, n=1, cutoff=0.7)
        hint = f" Did you mean {near[0]}://?" if near else f" Give {_EXPECTED}."
        raise AddressError(f"{_shown(scheme + '://')} is not understood.{hint}")
    place, slash, path = rest.partition("/")
    if "@" in place:
        raise AddressError("The address holds a user name or password, which gRPC does not send: leave them out.")
    if path.strip("/"):
        raise AddressError(
            f"{_shown(word)} goes on after the port: give {_shown(place)} without {_shown(slash + path)}."
        )
    target = _tcp(place, word, default_port)
    return Target(target.text, scheme in _TLS_SCHEMES, target.host, target.port)


def _tcp(place: str, word: str, default_port: int) -> Target:
    host, port = _split(place, word)
    number = default_port if port is None else _port(port, word)
    return Target(f"[{host}]:{number}" if ":" in host else f"{host}:{number}", host=host, port=number)


def _split(place: str, word: str) -> tuple[str, str | None]:
    """Splits host and port; port None: not given. Digits alone are a port of this machine."""
    if bracketed := _BRACKETED.fullmatch(place):
        return bracketed["host"], bracketed["port"] or None
    if place.count(":") > 1 and _is_ipv6(place):
        return place, None
    host, _, port = place.partition(":")
    if host.isdecimal() and not port:
        return _LOOPBACK, host
    host = host or (_LOOPBACK if port else "")
    if not _NAME.fullmatch(host):
        raise AddressError(f"{_shown(word)} is not an address: give {_EXPECTED}.")
    return host, port or None


def _port(text: str, word: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= _HIGHEST_PORT):
        raise AddressError(f"{_shown(text)} in {_shown(word)} is not a port: a port is a number from 1 to 65535.")
    return int(text)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _shown(word: str) -> str:
    return f"'{shortened(printable(word))}'"
