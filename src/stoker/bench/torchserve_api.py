"""TorchServe's gRPC APIs for the bench: requests of a `Running` and scaling, the same for both servers."""

from __future__ import annotations

import time

import grpc

from stoker.bench.contender import LOOPBACK, WireRequest
from stoker.bench.processes import Spawned
from stoker.errors import StokerError
from stoker.protos import inference_pb2, management_pb2

INFERENCE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService"
MANAGEMENT = "/org.pytorch.serve.grpc.management.ManagementAPIsService"


class NotScaled(StokerError):
    """The number of workers did not become {workers}."""


class TorchServeApi:
    """A `Running` over TorchServe's gRPC APIs. ``roots``: what signs the server's certificate; None: without TLS."""

    roots: bytes | None = None

    def __init__(self, spawned: Spawned, *, model: str, management_port: int) -> None:
        self._spawned = spawned
        self._model = model
        self._management = f"{LOOPBACK}:{management_port}"

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

    def stop(self) -> None:
        self._spawned.stop()

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        message = inference_pb2.PredictionsRequest(model_name=self._model, input={"data": payload})
        method = "StreamPredictions" if stream else "Predictions"
        return WireRequest(path=f"{INFERENCE}/{method}", body=message.SerializeToString())

    def answer(self, body: bytes) -> bytes:
        prediction: bytes = inference_pb2.PredictionResponse.FromString(body).prediction
        return prediction

    def parts(self, body: bytes) -> list[bytes]:
        return [self.answer(body)]

    def scale(self, workers: int, *, timeout_s: float = 120.0) -> None:
        """Scales, and waits until the description shows the workers."""
        request = management_pb2.ScaleWorkerRequest(
            model_name=self._model, min_worker=workers, max_worker=workers, synchronous=True
        )
        with grpc.insecure_channel(self._management) as channel:
            channel.unary_unary(f"{MANAGEMENT}/ScaleWorker")(request.SerializeToString(), timeout=timeout_s)
            self._wait_ready(channel, workers, time.monotonic() + timeout_s)

    def _wait_ready(self, channel: grpc.Channel, workers: int, until: float) -> None:
        question = management_pb2.DescribeModelRequest(model_name=self._model).SerializeToString()
        while time.monotonic() < until:
            answer = channel.unary_unary(f"{MANAGEMENT}/DescribeModel")(question, timeout=10)
            text = management_pb2.ManagementResponse.FromString(answer).msg
            if text.count('"READY"') == workers:
                return
            time.sleep(0.01)
        raise NotScaled(workers=workers)
