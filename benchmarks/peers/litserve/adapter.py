"""LitServe over HTTP/1.1: it has no gRPC."""

from __future__ import annotations

from benchmarks.peers.peer import FOLDER, Api, Peer, Server, run_in_venv
from stoker.bench.contender import Deployment


def launch(deployment: Deployment) -> Server:
    script = str(FOLDER / "litserve" / "serve.py")
    return Server(run_in_venv(deployment, ["python", script], environment=ENVIRONMENT), Api())


ENVIRONMENT = {
    "LITSERVE_LOG_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
}

LITSERVE = Peer(
    name="litserve",
    wire="http",
    note="HTTP (it has no gRPC): bytes in and out, parts as JSON lines; 1 worker, 1 API server, fast_queue (ZeroMQ), "
    "log level warning",
    packages=("litserve==0.2.19",),
    launch=launch,
)
