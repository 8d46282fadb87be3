"""Messages between the server and a template process: one datagram each, with descriptors beside it.

A template has done once what each worker would do again (`import torch`; with ``shareWeights`` the model's own
`initialize`), and forks workers.  `pool.forking` asks, `worker.fork_server` answers.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence

import msgspec

from stoker.ipc.frames import FrameError
from stoker.ipc.to_worker import Load

MAX_MESSAGE_BYTES = 1 << 19  # most of it is a worker's environment
MOST_FDS = 4
_INT_BYTES = array.array("i").itemsize


class Prepare(msgspec.Struct, tag="prepare", array_like=True, frozen=True, kw_only=True):
    """Comes first. ``load``: the model to initialise once; None: only import torch."""

    load: Load | None = None


class Fork(msgspec.Struct, tag="fork", array_like=True, frozen=True, kw_only=True):
    """Forks a worker like one spawned in the folder ``cwd`` with the environment ``env``.

    Descriptors beside it: socket, progress marker, standard output, standard error.
    """

    request: int
    name: str
    cwd: str
    env: dict[str, str]


class Reap(msgspec.Struct, tag="reap", array_like=True, frozen=True):
    """Asks how the worker ``pid`` ended, which is dead; its process group is killed."""

    pid: int


class Ready(msgspec.Struct, tag="ready", array_like=True, frozen=True):
    """The preparation succeeded. ``obstacle``: why no worker may be forked all the same."""

    obstacle: str | None = None


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """The preparation failed; the process exits next. As `to_server.LoadFailed`."""

    number: int
    message: str


class Forked(msgspec.Struct, tag="forked", array_like=True, frozen=True):
    """The worker runs. Descriptor beside it: its pidfd."""

    request: int
    pid: int


class Refused(msgspec.Struct, tag="refused", array_like=True, frozen=True):
    """No worker was forked; it has to be spawned."""

    request: int
    reason: str


class Exited(msgspec.Struct, tag="exited", array_like=True, frozen=True):
    """The answer to `Reap`. ``code`` as `subprocess.Popen.returncode` has it."""

    pid: int
    code: int


ToTemplate = Prepare | Fork | Reap
FromTemplate = Ready | Failed | Forked | Refused | Exited

_encoder = msgspec.msgpack.Encoder()
_to_template: msgspec.msgpack.Decoder[ToTemplate] = msgspec.msgpack.Decoder(ToTemplate)
_from_template: msgspec.msgpack.Decoder[FromTemplate] = msgspec.msgpack.Decoder(FromTemplate)

_NOT_A_MESSAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(message: ToTemplate | FromTemplate) -> bytes:
    """Raises `frames.FrameError` for text that is not Unicode."""
    try:
        return _encoder.encode(message)
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise FrameError(f"not a message: {error}") from None


def decode_to_template(data: bytes) -> ToTemplate:
    """Raises `frames.FrameError` when the peer sent something else."""
    try:
        return _to_template.decode(data)
    except _NOT_A_MESSAGE as error:
        raise FrameError(f"not a message for a template: {error}") from None


def decode_from_template(data: bytes) -> FromTemplate:
    """Raises `frames.FrameError` when the peer sent something else."""
    try:
        return _from_template.decode(data)
    except _NOT_A_MESSAGE as error:
        raise FrameError(f"not a message of a template: {error}") from None


# ---------------------------------------------------------------------------------------------- the socket


def send(end: socket.socket, message: ToTemplate | FromTemplate, fds: Sequence[int] = ()) -> None:
    """Raises what the socket raises, and `frames.FrameError` for what is too large."""
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
