"""Opens listening sockets, of which Unix ones admit only their owner, and sets up accepted connections."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stoker.config.address import Address, is_loopback
from stoker.errors import BindError

_REMEDIES = {
    errno.EADDRINUSE: "stop what listens there, or set another port",
    errno.EADDRNOTAVAIL: "the machine has no such address",
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE",
}
_LONGEST_PATH = 107  # of a Unix socket, on Linux
_INT = struct.Struct("i")
_TCP_CONGESTION: int | None = getattr(socket, "TCP_CONGESTION", None)  # Linux


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    socket: socket.socket
    address: Address
    remove: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Closes the socket; removes a Unix socket's file unless another server's is there. Idempotent."""
        self.socket.close()
        self.remove()


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Returns the client's address as logs show it: ``127.0.0.1:5``, ``[::1]:5`` or ``unix``."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return "unix"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def avoid_pacing(transport: asyncio.BaseTransport) -> None:
    """Keeps a paced congestion control, such as BBR, from delaying what is sent over loopback."""
    sock, name = transport.get_extra_info("socket"), transport.get_extra_info("peername")
    if _TCP_CONGESTION is None or sock is None or not isinstance(name, tuple) or not is_loopback(name[0]):
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, b"reno")
    except OSError:
        pass  # the system does not offer it, or the client has left


def unacknowledged(transport: asyncio.BaseTransport) -> int:
    """Returns the bytes sent that the client's machine has not received yet; 0 if the system does not tell."""
    sock = transport.get_extra_info("socket")
    try:
        return _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))[0]  # type: ignore[no-any-return]
    except (AttributeError, OSError, ValueError):
        return 0


async def listen(address: Address, *, backlog: int, name: object = None) -> ListeningSocket:
    """Opens a socket. ``name``: what an error calls the address, if not its URL. Raises BindError."""
    try:
        if address.scheme == "unix":
            return _listen_unix(address, backlog)
        return await _listen_tcp(address, backlog)
    except OSError as error:
        raise BindError(address=name or address, reason=_reason(error, address)) from None


async def check_free(address: Address) -> None:
    """Binds the address and releases it again. Raises BindError: the address is unavailable."""
    try:
        if address.scheme == "unix":
            _refuse_unless_free(Path(address.path))
        else:
            (await _bind_tcp(address)).close()
    except OSError as error:
        raise BindError(address=address, reason=_reason(error, address)) from None


def _reason(error: OSError, address: Address) -> str:
    reason = error.strerror or str(error)
    remedy = None if address.scheme == "unix" else _REMEDIES.get(error.errno or 0)
    return f"{reason}: {remedy}" if remedy else reason


async def _listen_tcp(address: Address, backlog: int) -> ListeningSocket:
    sock = await _bind_tcp(address)
    try:
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return ListeningSocket(sock, replace(address, port=sock.getsockname()[1]))


async def _bind_tcp(address: Address) -> socket.socket:
    """Binds the first of a name's addresses, IPv4 before IPv6, as TorchServe does."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_unix(address: Address, backlog: int) -> ListeningSocket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def bind(path: str) -> None:
        sock.bind(path)
        sock.listen(backlog)
        sock.setblocking(False)

    try:
        return ListeningSocket(sock, address, put_in_place(Path(address.path), bind))
    except BaseException:
        sock.close()
        raise


def put_in_place(path: Path, bind: Callable[[str], object]) -> Callable[[], None]:
    """Binds a socket under another name and renames its file, so that at ``path`` the mode is always 0600. Returns a
    function that removes the file.

    Raises: OSError: the path is in use, or ``bind`` failed.
    """
    _refuse_unless_free(path)
    new = path.with_name(f".{path.name[:32]}.{os.getpid()}")
    try:
        new.unlink(missing_ok=True)
        bind(str(new))
        new.chmod(0o600)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    mine = path.stat().st_ino
    return lambda: _remove(path, mine)


def _refuse_unless_free(path: Path) -> None:
    """Raises OSError for a path that is in use, or too long for clients. A socket that nobody answers is not in use;
    any other file is."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, f"the path has more than {_LONGEST_PATH} bytes, so no client could connect")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
    raise OSError(errno.EADDRINUSE, "Address already in use")


def _remove(path: Path, inode: int) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass
