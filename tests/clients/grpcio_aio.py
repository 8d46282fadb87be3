"""What `grpc.aio` sees of the server: one JSON line a case. The argument: where things are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpcio_settings import BIG, INFERENCE, KEEPALIVE, LIMITS, OWN
from reporting import PLACE, say

from stoker.protos import InferenceAPIsServiceStub, ManagementAPIsServiceStub, management_pb2
from stoker.protos import inference_pb2 as pb

Channel = grpc.aio.Channel


def request(text: str) -> pb.PredictionsRequest:
    return pb.PredictionsRequest(model_name=PLACE["model"], input={"data": text.encode()})


async def predict(channel: Channel, text: str, **options: Any) -> str:
    try:
        answer = await InferenceAPIsServiceStub(channel).Predictions(request(text), **{"timeout": 60, **options})
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return bytes(answer.prediction).decode()


async def stream(channel: Channel, text: str, on_part: Callable[[Any, int], Any] | None = None) -> list[str]:
    call = InferenceAPIsServiceStub(channel).StreamPredictions(request(text), timeout=60)
    parts = []
    try:
        async for answer in call:
            parts.append(bytes(answer.prediction).decode())
            if on_part is not None:
                on_part(call, len(parts))
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        pass
    return [*parts, (await call.code()).name]


async def failure(channel: Channel, text: str) -> list[str]:
    try:
        await InferenceAPIsServiceStub(channel).Predictions(request(text), timeout=60)
    except grpc.aio.AioRpcError as error:
        return [error.code().name, str(error.details()).split("\norg.pytorch")[0]]
    return ["OK"]


async def ping(channel: Channel) -> str:
    answer = await InferenceAPIsServiceStub(channel).Ping(Empty(), timeout=60)
    return str(json.loads(answer.health)["status"])


async def cancel_in_the_stream(channel: Channel) -> list[str]:
    *_, code = await stream(channel, "parts 100000 0.001", lambda call, count: call.cancel() if count == 1 else None)
    return [code, await predict(channel, "echo free")]


async def cancel_at_once(channel: Channel) -> list[str]:
    call = InferenceAPIsServiceStub(channel).Predictions(request("sleep 0.3"))
    call.cancel()
    return [(await call.code()).name, await predict(channel, "echo free")]


async def deadline(channel: Channel) -> list[str]:
    return [await predict(channel, "sleep 0.5", timeout=0.1), await predict(channel, "echo free")]


async def gzip(channel: Channel) -> int:
    return len(await predict(channel, "echo " + "hello " * 1000, compression=grpc.Compression.Gzip))


async def large(channel: Channel) -> int:
    return len(await predict(channel, "echo ".ljust(BIG, "x")))


async def metadata(channel: Channel) -> list[str]:
    sent = (("x-note", "a note"), ("x-note-bin", bytes([0, 1, 255])))
    call = InferenceAPIsServiceStub(channel).Predictions(request("note"), metadata=sent, timeout=60)
    return [bytes((await call).prediction).decode(), dict(await call.trailing_metadata())["x-answer"]]


async def unknown(channel: Channel, path: str) -> str:
    try:
        await channel.unary_unary(path)(b"", timeout=60)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def watch(channel: Channel) -> str:
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=PLACE["model"]), timeout=60)
    state = (await call.read()).status
    call.cancel()
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(state))


async def unix_socket(_: Channel) -> bool:
    async with grpc.aio.insecure_channel(f"unix:{PLACE['unix']}", OWN) as channel:
        listed = await ManagementAPIsServiceStub(channel).ListModels(management_pb2.ListModelsRequest(), timeout=60)
    return any(model["modelName"] == PLACE["model"] for model in json.loads(listed.msg)["models"])


def secured(server: str, authority: str, key: str | None = None, certificate: str | None = None) -> Channel:
    content = [None if name is None else Path(PLACE[name]).read_bytes() for name in (authority, key, certificate)]
    return grpc.aio.secure_channel(PLACE[server], grpc.ssl_channel_credentials(*content), LIMITS)


async def tls(_: Channel) -> list[Any]:
    async with secured("tls", "ca") as channel:
        return [await predict(channel, "echo hello"), *await stream(channel, "parts 3 0"), await large(channel)]


async def mutual_tls(_: Channel) -> list[str]:
    async with secured("mutual_tls", "ca", "key", "certificate") as channel:
        return [await predict(channel, "echo hello"), *await stream(channel, "parts 3 0")]


async def refused(channel: Channel) -> str:
    async with channel:
        return await predict(channel, "echo hello", timeout=10)


async def reflection(channel: Channel) -> list[str]:
    """A ping-pong: each request is sent after the answer to the one before."""
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(timeout=60)
    names: list[str] = []
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    services = [service.name for service in (await call.read()).list_services_response.service]
    for symbol in services:
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        names.append((await call.read()).original_request.file_containing_symbol)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert names == services
    return sorted(services)


async def keepalive() -> list[Any]:
    async with grpc.aio.insecure_channel(PLACE["plain"], KEEPALIVE) as channel:
        first = await predict(channel, "echo hello")
        try:
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 10)
            stayed = False
        except asyncio.TimeoutError:
            stayed = True
        return [first, stayed, await predict(channel, "echo hello")]


CASES: dict[str, Callable[[Channel], Awaitable[Any]]] = {
    "ping": ping,
    "unary": lambda channel: predict(channel, "echo hello"),
    "stream": lambda channel: stream(channel, "parts 3 0"),
    "cancel_in_the_stream": cancel_in_the_stream,
    "cancel_at_once": cancel_at_once,
    "deadline": deadline,
    "gzip": gzip,
    "large": large,
    "metadata": metadata,
    "error": lambda channel: failure(channel, "refuse no such thing"),
    "special_characters": lambda channel: failure(channel, "refuse " + PLACE["special"]),
    "unknown_method": lambda channel: unknown(channel, f"/{INFERENCE}/Nothing"),
    "unknown_service": lambda channel: unknown(channel, "/no.such.Service/Nothing"),
    "watch": watch,
    "unix_socket": unix_socket,
    "tls": tls,
    "mutual_tls": mutual_tls,
    "tls_without_a_certificate": lambda _: refused(secured("mutual_tls", "ca")),
    "tls_of_another_authority": lambda _: refused(secured("mutual_tls", "stranger_ca", "key", "certificate")),
    "reflection": reflection,
}


async def main() -> None:
    async with grpc.aio.insecure_channel(PLACE["plain"], LIMITS) as channel:
        pinging = asyncio.create_task(keepalive())
        for name, run in CASES.items():
            say(name, await run(channel))
        say("keepalive", await pinging)
        *parts, code = await stream(
            channel, "parts 30 0.1", lambda _, count: say("draining", True) if count == 1 else None
        )
        say("drain", [len(parts), code])
        say("after_the_stop", await predict(channel, "echo hello", timeout=10))


asyncio.run(main())
