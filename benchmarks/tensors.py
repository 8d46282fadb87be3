"""stoker over the open inference protocol, with raw contents, and over Predictions, with the same model and bytes."""

from __future__ import annotations

from benchmarks.workload import Workload
from stoker.bench.contender import Deployment, WireRequest
from stoker.bench.contenders import STOKER, Stoker, start_torchserve
from stoker.bench.torchserve_api import TorchServeApi
from stoker.protos import grpc_predict_v2_pb2 as pb

INFER = "/inference.GRPCInferenceService/ModelInfer"
_LENGTH_BYTES = 4


class StokerOverProtocol(Stoker):
    """Runs stoker for a comparison of protocols. ``tensors``: over the open inference protocol, else Predictions."""

    def __init__(self, *, tensors: bool) -> None:
        super().__init__("nghttp2")
        self.name = "stoker-open-inference" if tensors else "stoker-predictions"
        protocol = "ModelInfer with raw contents" if tensors else "Predictions"
        self.note = f"gRPC, {protocol}, loggers at WARN"
        self._tensors = tensors

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.TENSORS

    def start(self, deployment: Deployment) -> TorchServeApi:
        api = TensorsApi if self._tensors else TorchServeApi
        spawned = start_torchserve(STOKER, deployment)
        return api(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])


class TensorsApi(TorchServeApi):
    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        return raw_request(payload, model=self._model, tensor="data")

    def answer(self, body: bytes) -> bytes:
        return raw_answer(body)


def raw_request(payload: bytes, *, model: str, tensor: str, id: str = "") -> WireRequest:
    """Returns a ModelInfer of one BYTES tensor with raw contents: an element after its length in four bytes."""
    message = pb.ModelInferRequest(model_name=model, id=id)
    message.inputs.add(name=tensor, datatype="BYTES", shape=[1])
    message.raw_input_contents.append(len(payload).to_bytes(_LENGTH_BYTES, "little") + payload)
    return WireRequest(path=INFER, body=message.SerializeToString())


def raw_answer(body: bytes) -> bytes:
    contents: bytes = pb.ModelInferResponse.FromString(body).raw_output_contents[0]
    return contents[_LENGTH_BYTES:]
