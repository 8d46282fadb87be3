"""Parses a listener's address: `http://`, `https://` or `unix:/PATH`; for gRPC a host or `unix:/PATH`. PURE."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from stoker.core.text import printable, shortened

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.%]+\]|[^\s/:\[\]]+)(?::(?P<port>\d{1,5}))?/?", re.IGNORECASE
)
_UNIX = re.compile(r"unix:(?://)?(?P<path>/[^/\s]\S*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT = 65534
_EXPECTED = "http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH"

INFERENCE_PORTS = {"http": 80, "https": 443}
MANAGEMENT_PORTS = {"http": 8081, "https": 8444}
METRICS_PORTS = {"http": 8082, "https": 8445}


@dataclass(frozen=True, slots=True)
class Address:
    """An address. ``scheme``: http, https, grpc or unix. A unix address has a ``path``, but neither host nor port."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Tells whether only this machine can reach it."""
        return self.scheme == "unix" or is_loopback(self.host)

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse(text: str, default_ports: Mapping[str, int]) -> Address:
    """Parses an address. Raises ValueError with TorchServe's message."""
    word = text.strip()
    if unix := _UNIX.fullmatch(word):
        return Address("unix", path=unix["path"])
    url = _URL.fullmatch(word)
    if url is None:
        raise ValueError(f"Invalid binding address: {shortened(printable(word))} (expected: {_EXPECTED})")
    scheme = url["scheme"].lower()
    port = int(url["port"]) if url["port"] is not None else default_ports[scheme]
    if port > _HIGHEST_PORT:
        raise ValueError(
            f"Invalid binding address: {shortened(printable(word))} (expected: a port up to {_HIGHEST_PORT})"
        )
    return Address(scheme, url["host"].strip("[]").lower(), port)


def inference(text: str) -> Address:
    return parse(text, INFERENCE_PORTS)


def management(text: str) -> Address:
    return parse(text, MANAGEMENT_PORTS)


def metrics(text: str) -> Address:
    return parse(text, METRICS_PORTS)


def host(text: str) -> str:
    """Parses a bare host name or IP address, as the gRPC keys take it."""
    word = text.strip().strip("[]")
    if not word or "/" in word or any(c.isspace() for c in word) or (":" in word and not is_ip(word)):
        raise ValueError(f"{text.strip()!r} is not a host name or IP address")
    return word


def grpc(text: str) -> str:
    """Parses a host name or IP address, or `unix:/path`, which has no port."""
    word = text.strip()
    if not word.lower().startswith("unix:"):
        return host(text)
    unix = _UNIX.fullmatch(word)
    if unix is None:
        raise ValueError(f"{shortened(printable(word))!r} is not a Unix socket (expected: unix:/PATH)")
    return f"unix:{unix['path']}"


def grpc_address(name: str, port: int) -> Address:
    if name.startswith("unix:"):
        return Address("unix", path=name.removeprefix("unix:"))
    return Address("grpc", name, port)


def grpc_place(name: str, port: int) -> str:
    """Returns ``host:port``, ``[::1]:port`` or the Unix socket, as clients write it."""
    if name.startswith("unix:"):
        return name
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def border(text: str) -> Address | None:
    """Parses HOST or HOST:PORT; no port, or 0, means any. None for no text."""
    word = text.strip()
    if not word:
        return None
    found = _HOST_AND_PORT.fullmatch(word)
    if found is None or int(found["port"] or 0) > _HIGHEST_PORT:
        raise ValueError(f"{shortened(printable(word))!r} is not a host name or IP address, with or without :PORT")
    return Address("border", host(found["host"]), int(found["port"] or 0))


def ray(text: str) -> str | None:
    """Parses auto, local or HOST:PORT. None for no text."""
    word = text.strip()
    if word.lower() in ("auto", "local", ""):
        return word.lower() or None
    found = _HOST_AND_PORT.fullmatch(word)
    if found is None or not 0 < int(found["port"] or 0) <= _HIGHEST_PORT:
        raise ValueError(
            f"{shortened(printable(word))!r} is not one of: auto, local, HOST:PORT of a cluster that this machine "
            "is a node of"
        )
    return grpc_place(host(found["host"]), int(found["port"]))


def is_local_grpc(name: str) -> bool:
    """Tells whether only this machine can reach it."""
    return name.startswith("unix:") or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Tells whether only this machine reaches a listener there; of names, only 'localhost' says so."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def is_ip(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def is_unspecified(host: str) -> bool:
    """Tells whether listening there means on every address."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
