"""Arguments to request messages. PURE: shared by both clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.protos import inference_pb2, management_pb2

Payload = bytes | bytearray | memoryview | str | Mapping[str, bytes]


def prediction(model: str, payload: Payload, version: str | None) -> Any:
    """A bare payload becomes the input ``data``, by TorchServe's convention."""
    if isinstance(payload, str):
        payload = payload.encode()
    if not isinstance(payload, Mapping):
        payload = {"data": bytes(payload)}
    return inference_pb2.PredictionsRequest(model_name=model, model_version=version or "", input=payload)


def register(
    url: str,
    *,
    model_name: str | None = None,
    handler: str | None = None,
    runtime: str | None = None,
    batch_size: int = 0,
    max_batch_delay_ms: int = 0,
    initial_workers: int = 0,
    response_timeout_s: int = 0,
    startup_timeout_s: int = 0,
    synchronous: bool = False,
) -> Any:
    """Zero and None mean: as the archive or the server says."""
    return management_pb2.RegisterModelRequest(
        url=url,
        model_name=model_name or "",
        handler=handler or "",
        runtime=runtime or "",
        batch_size=batch_size,
        max_batch_delay=max_batch_delay_ms,
        initial_workers=initial_workers,
        response_timeout=response_timeout_s,
        startup_timeout=startup_timeout_s,
        synchronous=synchronous,
    )


def scale(
    model: str, *, min_workers: int, max_workers: int = 0, version: str | None = None, synchronous: bool = False
) -> Any:
    return management_pb2.ScaleWorkerRequest(
        model_name=model,
        model_version=version or "",
        min_worker=min_workers,
        max_worker=max_workers,
        synchronous=synchronous,
    )


def describe(model: str, version: str | None, customized: bool) -> Any:
    return management_pb2.DescribeModelRequest(model_name=model, model_version=version or "", customized=customized)
