"""The hand-written grpc.aio server as a contender."""

from __future__ import annotations

import sys
from pathlib import Path

from stoker.bench.contender import LOOPBACK, Deployment, Wire, Workload, thread_environment
from stoker.bench.processes import spawn
from stoker.bench.torchserve_api import TorchServeApi

OFFERED = {Workload.SMALL, Workload.BATCHED, Workload.PARTS, Workload.SLOPE}


class BareServer:
    name = "bare-grpc-aio"
    wire: Wire = "grpc"
    note = "a grpc.aio server of 20 lines that answers in its event loop: no workers, no batches"

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        """Does nothing: runs in the environment of the suite."""

    def version(self, home: Path) -> str:
        import grpc

        return f"grpcio {grpc.__version__}"

    def offers(self, workload: Workload) -> bool:
        return workload in OFFERED

    def start(self, deployment: Deployment) -> TorchServeApi:
        script = Path(__file__).with_name("aio_echo.py")
        command = [sys.executable, str(script), str(deployment.port), str(deployment.max_message_bytes)]
        endpoint = f"{LOOPBACK}:{deployment.port}"
        environment = thread_environment(deployment.threads)
        spawned = spawn(command, scratch=deployment.scratch, endpoint=endpoint, environment=environment)
        return TorchServeApi(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])
