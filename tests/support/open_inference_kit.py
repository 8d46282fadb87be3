"""A client of the open inference protocol over gRPC, and models behind it over REST."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_fakes import Running
from http_fakes import HttpPorts
from tensor_kit import CONFIGURED, ROWS, echo, raw

from stoker.core.tensors import Tensor
from stoker.frontend.slices import Steps, current_slices
from stoker.protos import grpc_predict_v2_pb2 as pb

STANDARD = "inference.GRPCInferenceService"
TORCHSERVE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"
CODE = grpc.StatusCode
X = Tensor("x", "FP32", [2], raw("FP32", 1.0, 2.0))


class Client:
    def __init__(self, run: Running, service: str = STANDARD) -> None:
        self.run = run
        self.service = service

    async def __call__(self, method: str, request: Any, answer: Any = None) -> Any:
        kind = answer or getattr(pb, f"{method}Response")
        data = await self.run.channel.unary_unary(f"/{self.service}/{method}")(request.SerializeToString())
        return kind.FromString(data)

    async def infer(self, request: Any) -> Any:
        return await self("ModelInfer", request)

    async def error(self, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self(method, request)
        return caught.value.code(), caught.value.details() or ""


class OtherReading:
    """A large request of another client that is being read, until it is told to end."""

    def __init__(self) -> None:
        self.done = False
        current_slices().submit("others", self._steps(), lambda *_: None)

    def _steps(self) -> Steps:
        while not self.done:
            yield


def rest_ports() -> HttpPorts:
    """Serves two versions of a model of tensors, one with a configuration, and one without tensors."""
    ports = HttpPorts(open_inference_protocol=True)
    ports.models.add("m", "1.0", ROWS)
    ports.models.add("m", "2.0", ROWS)
    ports.models.add("configured", "1.0", CONFIGURED)
    ports.models.add("plain")
    ports.inference.on_submit = echo
    return ports
