"""Ray Serve over gRPC: its proxy carries a service of ours, with bytes as messages."""

from __future__ import annotations

import os
import shutil
import tempfile

from google.protobuf.wrappers_pb2 import BytesValue

from benchmarks.peers.peer import FOLDER, HOSTING, Api, Peer, Server, run_in_venv
from benchmarks.workload import Workload
from stoker.bench.contender import Deployment, WireRequest
from stoker.bench.processes import Spawned

SERVICE = "/stoker.bench.Peer"

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage reports
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # its guide's switch: run user code and router in the replica's main loop
    "PYTHONPATH": os.pathsep.join([HOSTING, str(FOLDER / "ray_serve")]),
}


class BytesMessages(Api):
    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        method = "Stream" if stream else "Predict"
        return WireRequest(path=f"{SERVICE}/{method}", body=BytesValue(value=payload).SerializeToString())

    def answer(self, body: bytes) -> bytes:
        return BytesValue.FromString(body).value

    def parts(self, body: bytes) -> list[bytes]:
        return [self.answer(body)]


class Cluster(Server):
    """A server with a short folder of its own, because the paths of Ray's Unix sockets must be short."""

    def __init__(self, spawned: Spawned, folder: str) -> None:
        super().__init__(spawned, BytesMessages())
        self._folder = folder

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def launch(deployment: Deployment) -> Cluster:
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    script = str(FOLDER / "ray_serve" / "serve.py")
    more = {"short_folder": folder}
    return Cluster(run_in_venv(deployment, ["python", script], environment=ENVIRONMENT, task=more), folder)


RAY_SERVE = Peer(
    name="ray-serve",
    wire="grpc",
    note="gRPC (its proxy, messages that hold bytes): 1 replica, throughput-optimised, log level warning, "
    "access log and dashboard off",
    packages=("ray[serve,serve-grpc]==2.60.0",),
    launch=launch,
    also=(Workload.PLACED,),
)
