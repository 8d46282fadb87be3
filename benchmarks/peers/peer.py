"""Shared parts of the peers: their venv, the start of their server script, what they offer.

A peer is data and one function: `Peer` holds the pinned packages and the note for the report, ``launch`` turns a
deployment into the peer's own configuration.  Its server script finds the handler with `hosting.hosted`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import Workload
from stoker.bench.contender import LOOPBACK, Deployment, Model, Running, Wire, WireRequest, thread_environment
from stoker.bench.processes import Spawned, spawn
from stoker.bench.venvs import make_venv, package_version

FOLDER = Path(__file__).resolve().parent
HOSTING = os.pathsep.join([str(FOLDER.parent.parent / "src"), str(FOLDER / "hosting")])
"""PYTHONPATH of every server script: `hosted`, and this repository's ``stoker`` and ``ts``."""
ASKED_OF_PEERS = frozenset({Workload.SMALL, Workload.VISION, Workload.TEXT})
HANDLER_NEEDS = ("pyyaml", "packaging")
"""Packages that this repository's ``ts.torch_handler.base_handler`` imports besides torch and numpy."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A `Contender` that runs no archives."""

    name: str
    wire: Wire
    note: str
    packages: tuple[str, ...]
    """Pinned versions, the server itself first."""
    launch: Callable[[Deployment], Running]
    also: tuple[Workload, ...] = ()
    """Workloads in which it takes part, in addition to those of all peers."""

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        make_venv(home, [*self.packages, *HANDLER_NEEDS, *requirements])

    def version(self, home: Path) -> str:
        distribution = self.packages[0].partition("==")[0].partition("[")[0]
        return package_version(home / "bin" / "python", distribution)

    def offers(self, workload: Workload) -> bool:
        return workload in ASKED_OF_PEERS or workload in self.also

    def start(self, deployment: Deployment) -> Running:
        return self.launch(deployment)


class Api:
    """Converts payloads to requests and responses to answers. Here: bytes both ways, parts as JSON lines."""

    path = "/predict"

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        return WireRequest(path=self.path, body=payload, headers=(("content-type", "application/octet-stream"),))

    def answer(self, body: bytes) -> bytes:
        return body

    def parts(self, body: bytes) -> list[bytes]:
        return [str(json.loads(line)).encode() for line in body.splitlines() if line]


class Server:
    """A `Running` whose processes use ``api``."""

    def __init__(self, spawned: Spawned, api: Api) -> None:
        self._spawned = spawned
        self._api = api

    @property
    def pid(self) -> int:
        return self._spawned.pid

    @property
    def endpoint(self) -> str:
        return self._spawned.endpoint

    def pids(self) -> list[int]:
        return self._spawned.pids()

    def alive(self) -> bool:
        return self._spawned.alive()

    def log_tail(self) -> str:
        return self._spawned.log_tail()

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        return self._api.request(payload, stream=stream)

    def answer(self, body: bytes) -> bytes:
        return self._api.answer(body)

    def parts(self, body: bytes) -> list[bytes]:
        return self._api.parts(body)

    def stop(self) -> None:
        self._spawned.stop()


def streams(model: Model) -> bool:
    """Tells whether the handler streams. Some servers must know at start which routes do."""
    return "send_intermediate_predict_response" in model.handler_file.read_text()


def task_of(deployment: Deployment) -> dict[str, object]:
    """Returns the task for a server script."""
    model = deployment.model
    return {
        "handler_file": str(model.handler_file),
        "handler_class": model.handler_class,
        "folder": str(model.folder),
        "manifest": dict(model.manifest),
        "config": dict(model.config),
        "streams": streams(model),
        "host": LOOPBACK,
        "port": deployment.port,
        "more_ports": list(deployment.more_ports),
        "workers": deployment.workers,
        "max_message_bytes": deployment.max_message_bytes,
        "response_timeout_s": deployment.response_timeout_s,
    }


def run_in_venv(
    deployment: Deployment,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    task: Mapping[str, object] | None = None,
) -> Spawned:
    """Starts ``command``, whose first word is a program of the peer's venv, with its task (and ``task``) in a file."""
    file = deployment.scratch / "task.json"
    file.write_text(json.dumps({**task_of(deployment), **(task or {})}))
    binaries = deployment.home / "bin"
    variables = {
        **thread_environment(deployment.threads),
        "PYTHONPATH": HOSTING,
        "STOKER_PEER_TASK": str(file),
        **(environment or {}),
    }
    endpoint = f"{LOOPBACK}:{deployment.port}"
    words = [str(binaries / command[0]), *command[1:]]
    return spawn(words, scratch=deployment.scratch, endpoint=endpoint, environment=variables)
