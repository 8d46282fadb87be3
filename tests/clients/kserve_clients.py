"""What kserve's clients see of the server: one JSON line a case. The argument: where things are."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from reporting import PLACE, say

REST = f"http://{PLACE['rest']}"


def request(model: str, *inputs: InferInput) -> InferRequest:
    return InferRequest(model_name=model, infer_inputs=list(inputs), request_id="r-1")


def typed(name: str, datatype: str, shape: list[int], data: list[Any]) -> InferInput:
    return InferInput(name=name, datatype=datatype, shape=shape, data=data)


def raw(name: str, datatype: str, array: Any) -> InferInput:
    given = InferInput(name=name, datatype=datatype, shape=list(array.shape))
    given.set_data_from_numpy(array, binary_data=True)
    return given


async def over_grpc() -> None:
    client = InferenceGRPCClient(url=PLACE["inference"])
    say(
        "grpc_health",
        [await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready("echo")],
    )
    answer = await client.infer(request("configured", typed("a", "INT32", [2, 2], [1, 2, 3, 4]), text(["q", "r"])))
    say("grpc_typed", [[output.name, output.as_numpy().tolist()] for output in answer.outputs][:1])
    array = np.array([[0.5, 1.5]], dtype=np.float16)
    answer = await client.infer(request("echo", raw("x", "FP16", array)))
    say("grpc_raw", [answer.id, answer.outputs[0].datatype, answer.outputs[0].as_numpy().tolist()])
    try:
        await client.infer(request("echo", typed("raise", "FP32", [1, 1], [1.0])))
    except grpc.RpcError as error:
        say("grpc_error", [error.code().name, error.details()])  # type: ignore[attr-defined]
    await client.close()


def text(words: list[str]) -> InferInput:
    return typed("b", "BYTES", [len(words), 1], [word.encode() for word in words])


async def over_rest() -> None:
    client = InferenceRESTClient(config=RESTConfig(protocol="v2", retries=1))
    say(
        "rest_health",
        [
            await client.is_server_live(REST),
            await client.is_server_ready(REST),
            await client.is_model_ready(REST, "echo"),
        ],
    )
    answer = await client.infer(
        REST, request("sums", typed("x", "FP32", [2, 2], [1.0, 2.0, 3.0, 4.0])), model_name="sums"
    )
    say("rest_json", [answer.id, answer.outputs[0].data])
    array = np.array([[1.5, 2.5]], dtype=np.float32)
    answer = await client.infer(REST, request("echo", raw("x", "FP32", array)), model_name="echo")
    say("rest_binary", answer.outputs[0].as_numpy().tolist())
    try:
        await client.infer(REST, request("nobody", typed("x", "FP32", [1], [1.0])), model_name="nobody")
    except httpx.HTTPStatusError as error:
        say("rest_error", [error.response.status_code, error.response.json()["error"]])
    await client.close()


async def main() -> None:
    await over_grpc()
    await over_rest()


asyncio.run(main())
