"""A client that is to be killed once it has said so: a hundred calls are in flight. Arguments: address, model."""

from __future__ import annotations

import asyncio
import sys

import grpc.aio

from stoker.protos import InferenceAPIsServiceStub
from stoker.protos import inference_pb2 as pb


async def main(address: str, model: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        stub = InferenceAPIsServiceStub(channel)
        request = pb.PredictionsRequest(model_name=model, input={"data": b"wait"})
        _calls = [method(request) for method in (stub.Predictions, stub.StreamPredictions) for _ in range(50)]
        await asyncio.sleep(0.2)
        print("in flight", flush=True)
        await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
