"""What the asynchronous clients of tritonclient see of the server: one JSON line a case. The argument: where things
are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import tritonclient.grpc.aio as over_grpc
import tritonclient.http.aio as over_http
from reporting import PLACE, say

ARRAY = np.array([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], dtype=np.float32)


async def http() -> None:
    async with over_http.InferenceServerClient(PLACE["rest"]) as client:
        given = over_http.InferInput("x", [3, 2], "FP32")
        given.set_data_from_numpy(ARRAY)
        results = await asyncio.gather(*[client.infer("echo", [given]) for _ in range(8)])
        say("http", [bool((result.as_numpy("output") == ARRAY).all()) for result in results])
        say("http_health", [await client.is_server_live(), await client.is_model_ready("echo")])


async def grpc() -> None:
    async with over_grpc.InferenceServerClient(PLACE["inference"]) as client:
        given = over_grpc.InferInput("x", [3, 2], "FP32")
        given.set_data_from_numpy(ARRAY)
        results = await asyncio.gather(*[client.infer("echo", [given]) for _ in range(8)])
        say("grpc", [bool((result.as_numpy("output") == ARRAY).all()) for result in results])

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for number in range(3):
                yield {"model_name": "echo", "inputs": [given], "request_id": str(number)}

        answers = client.stream_infer(requests())
        say("grpc_stream", sorted([result.get_response().id async for result, error in answers if error is None]))


async def main() -> None:
    await http()
    await grpc()


asyncio.run(main())
