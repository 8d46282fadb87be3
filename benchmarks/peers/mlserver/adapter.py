"""MLServer over gRPC: the open inference protocol, a payload as one BYTES tensor, with typed or with raw contents."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from benchmarks.peers.peer import FOLDER, HOSTING, Api, Peer, Server, run_in_venv
from benchmarks.tensors import raw_answer, raw_request
from benchmarks.workload import Workload
from stoker.bench.contender import LOOPBACK, Deployment, WireRequest
from stoker.bench.processes import Spawned
from stoker.protos import open_inference_pb2

SERVICE = "/inference.GRPCInferenceService"
MODEL = "hosted"
PACKAGES = ("mlserver==1.7.1",)


class OpenInference(Api):
    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        message = open_inference_pb2.ModelInferRequest(model_name=MODEL, id="1")  # otherwise it generates an id
        tensor = message.inputs.add(name="payload", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(payload)
        method = "ModelStreamInfer" if stream else "ModelInfer"
        return WireRequest(path=f"{SERVICE}/{method}", body=message.SerializeToString())

    def answer(self, body: bytes) -> bytes:
        found: bytes = open_inference_pb2.ModelInferResponse.FromString(body).outputs[0].contents.bytes_contents[0]
        return found

    def parts(self, body: bytes) -> list[bytes]:
        return [self.answer(body)]


class RawContents(Api):
    """The same with raw contents."""

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        return raw_request(payload, model=MODEL, tensor="payload", id="1")

    def answer(self, body: bytes) -> bytes:
        return raw_answer(body)


@dataclass(frozen=True, kw_only=True)
class MLServerRaw(Peer):
    home_of: str = "mlserver"

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.TENSORS


def launch_raw(deployment: Deployment) -> Server:
    return Server(spawned(deployment), RawContents())


def launch(deployment: Deployment) -> Server:
    return Server(spawned(deployment), OpenInference())


def spawned(deployment: Deployment) -> Spawned:
    repository = deployment.scratch / "repository"
    repository.mkdir()
    (repository / "settings.json").write_text(json.dumps(settings(deployment)))
    (repository / "model-settings.json").write_text(json.dumps({"name": MODEL, "implementation": "model.Hosted"}))
    environment = {"PYTHONPATH": os.pathsep.join([HOSTING, str(FOLDER / "mlserver")])}
    return run_in_venv(deployment, ["mlserver", "start", str(repository)], environment=environment)


def settings(deployment: Deployment) -> dict[str, object]:
    return {
        "host": LOOPBACK,
        "grpc_port": deployment.port,
        "http_port": deployment.more_ports[0],
        "debug": False,  # its default logs every request
        "parallel_workers": 0,  # run the model in the server's process: a pool of one adds a queue, and cannot stream
        "metrics_endpoint": None,  # an interceptor around every call
        "gzip_enabled": False,  # must be off for streams, according to its guide
        "grpc_max_message_length": deployment.max_message_bytes,
        "logging_settings": {"version": 1, "incremental": True, "loggers": {"mlserver": {"level": "WARNING"}}},
        "environments_dir": str(deployment.scratch / "environments"),
    }


MLSERVER = Peer(
    name="mlserver",
    wire="grpc",
    note="gRPC (open inference protocol, one BYTES tensor): model in the server's process (parallel_workers 0), "
    "metrics and debug off",
    packages=PACKAGES,
    launch=launch,
)

MLSERVER_RAW = MLServerRaw(
    name="mlserver-raw",
    wire="grpc",
    note="as mlserver, with raw contents",
    packages=PACKAGES,
    launch=launch_raw,
)
