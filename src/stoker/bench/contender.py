"""Defines what can be measured: a `Contender` installs itself and starts a `Deployment`.

A contender that runs TorchServe's archives serves ``deployment.model.archive``. One that cannot gets the **same handler
class** by the thinnest adapter that it allows: its server's entry file calls ``handler_host.load(...)``, and adds no
schema, no base64 and no JSON where the server can carry bytes. With ``batch_size`` 1 ``handle()`` gets one row.

Invariants:

- ``install`` makes a venv of its own under ``home``, is quick when there is nothing to do, and raises `CannotInstall`
  with a sentence for the table; the run goes on without that contender and says so.
- ``start`` returns as soon as the server's process is spawned: the time until its first right answer is measured.
- Each contender in its fastest honest configuration by its own guide, log level WARN; that is in this repository.
- Everything on loopback, on the ports given, files only in ``deployment.scratch``; ``threads`` for every worker.
- ``stop`` leaves nothing running, also after a crash and when called twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from stoker.errors import StokerError

Wire = Literal["grpc", "grpcs", "http", "https"]
"""``grpc``: HTTP/2 without TLS; ``grpcs``: with TLS; ``http`` and ``https``: HTTP/1.1 with keep-alive connections."""

LOOPBACK = "127.0.0.1"


class CannotInstall(StokerError):
    """The contender cannot be installed here; the message says why, in a sentence for the table."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One handler with its files, packed and unpacked: the same bytes for every contender."""

    name: str
    archive: Path
    """The ``.mar``, for servers that run it."""
    handler_file: Path
    """The handler's Python file, inside `folder`."""
    handler_class: str | None
    """The entry-point class (``initialize(context)``, ``handle(data, context)``); None: the function ``handle``."""
    folder: Path
    """The archive's files, unpacked: ``system_properties["model_dir"]``."""
    manifest: Mapping[str, object] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)
    """model-config.yaml, parsed: ``context.model_yaml_config``."""
    requirements: tuple[str, ...] = ()
    """Requirements of the handler, in pip's syntax; ``install`` gets those of all models."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One model on one server, with every choice that must be the same for all contenders."""

    model: Model
    home: Path
    """Folder of the venv that `Contender.install` made."""
    scratch: Path
    """An empty folder for this start: configuration files, logs, temporary files (TMPDIR)."""
    port: int
    """The port under load."""
    more_ports: tuple[int, ...] = ()
    """Five more free ports: management, metrics, whatever else the server needs."""
    batch_size: int = 1
    max_batch_delay_ms: int = 0
    workers: int = 1
    threads: int = 1
    """Threads of torch, OpenMP and BLAS per worker."""
    max_message_bytes: int = 6_553_500
    response_timeout_s: int = 120


@dataclass(frozen=True, kw_only=True)
class WireRequest:
    """A request as sent over the wire."""

    path: str
    """For gRPC ``/full.Service/Method``."""
    body: bytes
    """For gRPC the serialised message without the five bytes of its frame, which the load generators add."""
    headers: tuple[tuple[str, str], ...] = ()
    """Besides host, content-length and, for gRPC, content-type and te."""


class Running(Protocol):
    """A server that was started; it may not answer yet."""

    @property
    def pid(self) -> int:
        """The root of the process tree whose CPU and memory are measured."""

    def pids(self) -> list[int]:
        """Returns every process of the server, including those that left the tree (`Spawned.pids`)."""

    @property
    def endpoint(self) -> str:
        """``host:port`` under load."""

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        """Wraps ``payload``: the bytes that the handler finds in ``data``."""

    def answer(self, body: bytes) -> bytes:
        """Extracts the handler's answer from a response's body (gRPC: from the serialised message)."""

    def parts(self, body: bytes) -> list[bytes]:
        """Extracts the handler's parts from the whole body of a finished stream (HTTP only; gRPC has a message per
        part)."""

    def alive(self) -> bool:
        """Tells whether the process `pid` runs."""

    def log_tail(self) -> str:
        """Returns the last lines of the server's output, for the report of a failure."""

    def stop(self) -> None:
        """Ends every process of the server: SIGTERM, and SIGKILL after a few seconds."""


class Contender(Protocol):
    @property
    def name(self) -> str:
        """Name for ``--contenders`` and the tables: lower case, no spaces."""

    @property
    def wire(self) -> Wire: ...

    @property
    def note(self) -> str:
        """One line for the report: the configuration, and for a peer which of its APIs was used and why."""

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        """Makes or updates the venv in ``home`` with the server and ``requirements``. Raises CannotInstall."""

    def version(self, home: Path) -> str:
        """Returns the installed server's version."""

    def start(self, deployment: Deployment) -> Running: ...


def thread_environment(threads: int) -> dict[str, str]:
    """Returns variables that numeric libraries read, torch too; none for 0: each server's own default."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) if threads else {}
