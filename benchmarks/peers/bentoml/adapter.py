"""BentoML over HTTP/1.1. Its gRPC belongs to services from before 1.2, and its command line's help does not list it."""

from __future__ import annotations

from benchmarks.peers.peer import FOLDER, Api, Peer, Server, run_in_venv
from stoker.bench.contender import LOOPBACK, Deployment, WireRequest


class Routes(Api):
    """Adds a route for streams."""

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        headers = (("content-type", "application/octet-stream"),)
        return WireRequest(path="/stream" if stream else "/predict", body=payload, headers=headers)


def launch(deployment: Deployment) -> Server:
    environment = {
        "BENTOML_DO_NOT_TRACK": "True",  # no usage reports
        "BENTOML_HOME": str(deployment.scratch / "home"),  # its stores: by default in the user's home
        "PROMETHEUS_MULTIPROC_DIR": str(deployment.scratch / "tmp"),
    }
    command = ["bentoml", "serve", "serve:Hosted", "--working-dir", str(FOLDER / "bentoml")]
    command += ["--host", LOOPBACK, "--port", str(deployment.port), "--quiet"]
    return Server(run_in_venv(deployment, command, environment=environment), Routes())


BENTOML = Peer(
    name="bentoml",
    wire="http",
    note="HTTP (gRPC is for its services of before 1.2 only): bytes in and out, parts as JSON lines; 1 worker, "
    "access log and metrics off",
    packages=("bentoml==1.4.40",),
    launch=launch,
)
