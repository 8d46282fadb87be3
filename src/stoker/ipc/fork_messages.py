"""Messages between the server and a template process: each is one datagram, with file descriptors attached.

A template does once what every worker would otherwise repeat (`import torch`; with ``shareWeights`` the handler's
`initialize`), and forks workers.  `pool.forking` sends the requests, `worker.fork_server` answers them.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Callable, Sequence

import msgspec

from stoker.core.buffer import Buffer
from stoker.ipc import codec
from stoker.ipc.frames import FrameError
from stoker.ipc.to_worker import Load

MAX_MESSAGE_BYTES = 1 << 19  # most of it is a worker's environment
MOST_FDS = 4
_INT_BYTES = array.array("i").itemsize


class Prepare(msgspec.Struct, tag="prepare", array_like=True, frozen=True, kw_only=True):
    """Comes first. ``load``: the model to initialise once; None: only import torch."""

    load: Load | None = None


class Fork(msgspec.Struct, tag="fork", array_like=True, frozen=True, kw_only=True):
    """Asks for a worker like one spawned in the folder ``cwd`` with the environment ``env``.

    Attached descriptors: socket, progress marker, standard output, standard error.
    """

    request: int
    name: str
    cwd: str
    env: dict[str, str]


class Reap(msgspec.Struct, tag="reap", array_like=True, frozen=True):
    """Asks for the return code of the dead worker ``pid``. Sent after its process group was killed."""

    pid: int


class Ready(msgspec.Struct, tag="ready", array_like=True, frozen=True):
    """The preparation succeeded. ``obstacle``: why the template must not fork workers nevertheless."""

    obstacle: str | None = None


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """The preparation failed; the process exits next. As `to_server.LoadFailed`."""

    number: int
    message: str


class Forked(msgspec.Struct, tag="forked", array_like=True, frozen=True):
    """The worker runs. Attached descriptor: its pidfd."""

    request: int
    pid: int


class Refused(msgspec.Struct, tag="refused", array_like=True, frozen=True):
    """No worker was forked; it has to be spawned."""

    request: int
    reason: str


class Exited(msgspec.Struct, tag="exited", array_like=True, frozen=True):
    """Answers `Reap`. ``code``: as in `subprocess.Popen.returncode`."""

    pid: int
    code: int


ToTemplate = Prepare | Fork | Reap
FromTemplate = Ready | Failed | Forked | Refused | Exited

decode_to_template: Callable[[Buffer], ToTemplate] = codec.decoding(ToTemplate, "for a template")
decode_from_template: Callable[[Buffer], FromTemplate] = codec.decoding(FromTemplate, "of a template")


def encode(message: ToTemplate | FromTemplate) -> bytes:
    """Raises `frames.FrameError` for text that is not Unicode."""
    try:
        return msgspec.msgpack.encode(message)
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise FrameError(f"not a message: {error}") from None


# ---------------------------------------------------------------------------------------------- the socket


def send(end: socket.socket, message: ToTemplate | FromTemplate, fds: Sequence[int] = ()) -> None:
    """Raises what the socket raises, and `frames.FrameError`: the message is too large or not Unicode."""
    data = encode(message)
    if len(data) > MAX_MESSAGE_BYTES:
        raise FrameError(f"a message of {len(data)} bytes")
    end.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def receive(end: socket.socket) -> tuple[bytes, list[int]]:
    """Returns one encoded message and its descriptors, which the caller closes. No bytes: end of file."""
    space = socket.CMSG_SPACE(MOST_FDS * _INT_BYTES)
    data, ancillary, _, _ = end.recvmsg(MAX_MESSAGE_BYTES, space, _FLAGS)
    return data, _fds_in(ancillary)


_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def _fds_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _INT_BYTES])
    return list(fds)
