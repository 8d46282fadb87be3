"""Mosec over HTTP/1.1: it has no gRPC."""

from __future__ import annotations

import json

from benchmarks.peers.peer import FOLDER, Api, Peer, Server, run_in_venv
from benchmarks.workload import Workload
from stoker.bench.contender import LOOPBACK, Deployment


class Events(Api):
    """Sends bytes both ways; parts are server-sent events, each a JSON string."""

    def parts(self, body: bytes) -> list[bytes]:
        data = (line.partition(b":")[2].strip() for line in body.splitlines() if line.startswith(b"data:"))
        return [str(json.loads(text)).encode() for text in data if text]


def launch(deployment: Deployment) -> Server:
    script = str(FOLDER / "mosec" / "serve.py")
    return Server(run_in_venv(deployment, ["python", script, *flags(deployment)]), Events())


def flags(deployment: Deployment) -> list[str]:
    milliseconds = str(deployment.response_timeout_s * 1000)
    return [
        *("--address", LOOPBACK, "--port", str(deployment.port)),
        *("--path", str(deployment.scratch / "tmp" / "m")),  # its Unix sockets: by default under /tmp
        *("--timeout", milliseconds),  # for a request; the default of 3 s is too short for a text
        *("--max-request-size", str(deployment.max_message_bytes)),
        *("--log-level", "warning"),  # as its guide recommends for production
    ]


MOSEC = Peer(
    name="mosec",
    wire="http",
    note="HTTP (it has no gRPC): bytes in and out, parts as server-sent events; 1 worker, log level warning",
    packages=("mosec==0.9.8",),
    launch=launch,
    also=(Workload.REST,),
)
