"""`Service`: a loaded model that answers TorchServe's own wire requests. Users import it from `ts.service`.

The worker itself does not use it; users' unit tests do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from stoker import TORCHSERVE_VERSION
from stoker.ipc.to_server import Failure
from stoker.worker import calling, loading
from stoker.worker.classic import create_predict_response
from stoker.worker.context import Context, RequestProcessor
from stoker.worker.exceptions import PredictionException
from stoker.worker.metrics_legacy import emit_metrics
from stoker.worker.outputs import Unserialisable

__all__ = ["PREDICTION_METRIC", "PredictionException", "Service", "create_predict_response", "emit_metrics"]

PREDICTION_METRIC = "PredictionTime"

Retrieved = tuple[list[RequestProcessor], list[dict[str, Any]], dict[int, str]]


class Service:
    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        entry_point: calling.EntryPoint,
        gpu: int | None,
        batch_size: int | None,
        limit_max_image_pixels: bool = True,
        metrics_cache: Any = None,
    ) -> None:
        config = loading.read_model_config(model_dir, manifest)
        self._context = Context(
            model_name,
            model_dir,
            manifest,
            batch_size,
            gpu,
            TORCHSERVE_VERSION,
            limit_max_image_pixels,
            metrics_cache,
            config,
        )
        self._entry_point = entry_point

    @property
    def entry_point(self) -> calling.EntryPoint:
        return self._entry_point

    @property
    def context(self) -> Context:
        return self._context

    def set_cl_socket(self, cl_socket: Any) -> None:
        self._context.cl_socket = cl_socket

    @staticmethod
    def retrieve_data_for_inference(batch: Sequence[Mapping[str, Any]]) -> Retrieved:
        """Returns headers, rows and request ids, as `retrieve_msg` reads them. Raises ValueError: no request."""
        if not batch:
            raise ValueError("Received invalid inputs")
        ids = {idx: _str(request["requestId"]) for idx, request in enumerate(batch)}
        return [_headers(request) for request in batch], [_row(request) for request in batch], ids

    def predict(self, batch: Sequence[Mapping[str, Any]]) -> bytes | bytearray:
        """Returns the reply to all requests of the batch; whatever the handler does, there is one."""
        context = self._context
        rows = self.begin(batch, context)
        started = time.perf_counter()
        return self.reply(calling.invoke(self._entry_point, rows, context), context, started)

    def begin(self, batch: Sequence[Mapping[str, Any]], context: Context) -> list[dict[str, Any]]:
        """Points ``context`` at the requests, and returns their rows. Raises ValueError: no request at all."""
        headers, rows, ids = self.retrieve_data_for_inference(batch)
        context.request_ids, context.request_processor = ids, headers
        if context.metrics is not None:
            context.metrics.set_request_ids(ids)
        return rows

    def reply(self, outputs: list[Any] | Failure, context: Context, started: float) -> bytes | bytearray:
        """Encodes what the handler answered. ``started``: when it was called (`time.perf_counter`)."""
        ids = context.request_ids or {}
        if isinstance(outputs, Failure):
            return _refusal(outputs, ids)
        if context.metrics is not None:
            context.metrics.add_time(PREDICTION_METRIC, round((time.perf_counter() - started) * 1000, 2))
        try:
            return create_predict_response(outputs, ids, "Prediction success", 200, context)
        except Unserialisable:
            return _refusal(calling.UNSUPPORTED, ids)


def _refusal(failure: Failure, ids: dict[int, str]) -> bytes | bytearray:
    return create_predict_response(None, ids, failure.message, failure.number)


def _headers(request: Mapping[str, Any]) -> RequestProcessor:
    headers: dict[str, Any] = {_str(pair["name"]): _str(pair["value"]) for pair in request.get("headers", ())}
    for parameter in request.get("parameters", ()):
        headers[_str(parameter["name"])] = {"content-type": _str(parameter.get("contentType") or "")}
    return RequestProcessor(headers)


def _row(request: Mapping[str, Any]) -> dict[str, Any]:
    return {_str(parameter["name"]): parameter["value"] for parameter in request.get("parameters", ())}


def _str(value: str | bytes | bytearray) -> str:
    return value if isinstance(value, str) else bytes(value).decode("utf-8")
