"""A bare grpc.aio server of the suite's handlers: what a user would write by hand. ``python aio_echo.py PORT LIMIT``.

No batching, no workers, no limits, no supervision: the handler runs in the event loop.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from stoker.protos import inference_pb2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "handlers"))
from digest import digest

COUNT, SIZE = 1000, 32


async def predictions(request: Any, _context: Any) -> Any:
    return inference_pb2.PredictionResponse(prediction=digest(request.input["data"]).encode())


async def stream_predictions(_request: Any, _context: Any) -> AsyncIterator[Any]:
    for number in range(COUNT):
        yield inference_pb2.PredictionResponse(prediction=f"{number:06d}".ljust(SIZE, ".").encode())


def service() -> grpc.GenericRpcHandler:
    messages = {
        "request_deserializer": inference_pb2.PredictionsRequest.FromString,
        "response_serializer": inference_pb2.PredictionResponse.SerializeToString,
    }
    methods = {
        "Predictions": grpc.unary_unary_rpc_method_handler(predictions, **messages),
        "StreamPredictions": grpc.unary_stream_rpc_method_handler(stream_predictions, **messages),
    }
    return grpc.method_handlers_generic_handler("org.pytorch.serve.grpc.inference.InferenceAPIsService", methods)


async def serve(port: int, limit: int) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", limit)])
    server.add_generic_rpc_handlers((service(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
