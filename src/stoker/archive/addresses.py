"""Decides which machines an archive may be fetched from: public ones, unless the operator says otherwise.

Connects to the very addresses that were checked, so a name that resolves differently later gains nothing.

Invariant: if one address of a name is not public, the whole name is refused.
"""

from __future__ import annotations

import ipaddress
import socket

from stoker.archive.threads import Stop

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = ipaddress.ip_address("168.63.129.16")  # Azure's host agent: public, but local to the cloud


class NotPublic(Exception):
    """The host has an address in a private, loopback, link-local or reserved network."""


def is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved and address != _METADATA


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Returns the IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo or NAT64), or None."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def resolve(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """Resolves a host. Blocking. Raises NotPublic; OSError, UnicodeError: the name cannot be resolved."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses: list[Address] = [(family, where) for family, _, _, _, where in found]  # type: ignore[misc]  # AF_INET(6) only
    if not allow_private and not all(is_public(str(where[0])) for _, where in addresses):
        raise NotPublic
    return addresses


def connect(addresses: list[Address], *, timeout_s: float, stop: Stop) -> socket.socket:
    """Connects to the first address that answers. ``stop`` interrupts the attempt and, later, the connection.

    Raises: OSError: none answered.  Stopped.
    """
    last: OSError = OSError("the name has no address")
    for family, where in addresses:
        stop.check()
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            _connect_one(connection, where, stop)
            return connection
        except OSError as error:
            connection.close()
            last = error
        except BaseException:
            connection.close()
            raise
    stop.check()
    raise last


def _connect_one(connection: socket.socket, where: tuple[str, int] | tuple[str, int, int, int], stop: Stop) -> None:
    breaker = Breaker(connection, stop)
    try:
        breaker.arm()
        connection.connect(where)
    finally:
        breaker.release()


class Breaker:
    """Shuts the connection down when ``stop`` is set, which wakes the thread that waits on it.

    Works on a duplicate of the socket, because TLS takes over the original.
    """

    def __init__(self, connection: socket.socket, stop: Stop) -> None:
        self._duplicate = connection.dup()
        self._stop = stop

    def arm(self) -> None:
        self._stop.on_set(self._shut)

    def release(self) -> None:
        """Disarms. Idempotent."""
        self._stop.on_set(None)
        self._duplicate.close()

    def _shut(self) -> None:
        try:
            self._duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already disconnected
