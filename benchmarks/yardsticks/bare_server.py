"""The hand-written servers as contenders."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from benchmarks.handlers.digest import digest
from benchmarks.workload import Workload
from stoker.bench.contender import LOOPBACK, Deployment, Wire, thread_environment
from stoker.bench.contenders import api_of
from stoker.bench.processes import Spawned, spawn
from stoker.bench.torchserve_api import TorchServeApi
from stoker.protos import inference_pb2


class _Bare:
    """Runs a script of this folder in the environment of the suite."""

    wire: Wire = "grpc"
    offered: frozenset[Workload]
    script: str
    library: str

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        """Does nothing: runs in the environment of the suite."""

    def version(self, home: Path) -> str:
        return f"{self.library} {importlib.metadata.version(self.library)}"

    def offers(self, workload: Workload) -> bool:
        return workload in self.offered

    def launch(self, deployment: Deployment) -> Spawned:
        script = Path(__file__).with_name(self.script)
        command = [sys.executable, str(script), str(deployment.port), str(deployment.max_message_bytes)]
        endpoint = f"{LOOPBACK}:{deployment.port}"
        environment = thread_environment(deployment.threads)
        return spawn(command, scratch=deployment.scratch, endpoint=endpoint, environment=environment)


class BareServer(_Bare):
    name = "bare-grpc-aio"
    note = "a grpc.aio server of 20 lines that answers in its event loop: no workers, no batches"
    offered = frozenset({Workload.SMALL, Workload.BATCHED, Workload.PARTS, Workload.SLOPE})
    script, library = "aio_echo.py", "grpcio"

    def start(self, deployment: Deployment) -> TorchServeApi:
        return api_of(self.launch(deployment), deployment)


class BareNgh2(_Bare):
    name = "bare-ngh2"
    note = "sends every message back, over ngh2 on uvloop, unparsed: no workers, no protobuf, no limits"
    offered = frozenset({Workload.SMALL})
    script, library = "ngh2_echo.py", "ngh2"

    def start(self, deployment: Deployment) -> EchoApi:
        name, management = deployment.model.name, deployment.more_ports[0]
        return EchoApi(self.launch(deployment), model=name, management_port=management)


class EchoApi(TorchServeApi):
    """Expects the request as the answer. Computes here the digest that others answer, so that the same checks apply."""

    def answer(self, body: bytes) -> bytes:
        return digest(inference_pb2.PredictionsRequest.FromString(body).input["data"]).encode()
