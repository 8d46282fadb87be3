"""What `grpc` (grpcio) sees of the server: one JSON line a case. The argument: where things are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpcio_settings import BIG, INFERENCE, KEEPALIVE, LIMITS, OWN
from reporting import PLACE, say

from stoker.protos import InferenceAPIsServiceStub, ManagementAPIsServiceStub, management_pb2
from stoker.protos import inference_pb2 as pb


def request(data: bytes | str) -> pb.PredictionsRequest:
    return pb.PredictionsRequest(
        model_name=PLACE["model"], input={"data": data.encode() if isinstance(data, str) else data}
    )


def predict(channel: grpc.Channel, text: str, **options: Any) -> str:
    try:
        answer = InferenceAPIsServiceStub(channel).Predictions(request(text), **{"timeout": 60, **options})
    except grpc.RpcError as error:
        return str(error.code().name)
    return bytes(answer.prediction).decode()


def stream(channel: grpc.Channel, text: str, on_part: Callable[[Any, int], None] | None = None) -> list[str]:
    call = InferenceAPIsServiceStub(channel).StreamPredictions(request(text), timeout=60)
    parts = []
    try:
        for answer in call:
            parts.append(bytes(answer.prediction).decode())
            if on_part is not None:
                on_part(call, len(parts))
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    return [*parts, call.code().name]


def failure(channel: grpc.Channel, text: str) -> list[str]:
    try:
        InferenceAPIsServiceStub(channel).Predictions(request(text), timeout=60)
    except grpc.RpcError as error:
        return [error.code().name, error.details().split("\norg.pytorch")[0]]
    return ["OK"]


def ping(channel: grpc.Channel) -> str:
    return str(json.loads(InferenceAPIsServiceStub(channel).Ping(Empty(), timeout=60).health)["status"])


def cancel_in_the_stream(channel: grpc.Channel) -> list[str]:
    *_, code = stream(channel, "parts 100000 0.001", lambda call, count: call.cancel() if count == 1 else None)
    return [code, predict(channel, "echo free")]


def cancel_at_once(channel: grpc.Channel) -> list[str]:
    call = InferenceAPIsServiceStub(channel).Predictions.future(request("sleep 0.3"))
    call.cancel()
    return [call.code().name, predict(channel, "echo free")]


def deadline(channel: grpc.Channel) -> list[str]:
    return [predict(channel, "sleep 0.5", timeout=0.1), predict(channel, "echo free")]


def large(channel: grpc.Channel) -> int:
    return len(predict(channel, "echo ".ljust(BIG, "x")))


def metadata(channel: grpc.Channel) -> list[str]:
    sent = (("x-note", "a note"), ("x-note-bin", bytes([0, 1, 255])))
    answer, call = InferenceAPIsServiceStub(channel).Predictions.with_call(request("note"), metadata=sent, timeout=60)
    return [bytes(answer.prediction).decode(), dict(call.trailing_metadata())["x-answer"]]


def unknown(channel: grpc.Channel, path: str) -> str:
    try:
        channel.unary_unary(path)(b"", timeout=60)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def watch(channel: grpc.Channel) -> str:
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=PLACE["model"]), timeout=60)
    state = str(health_pb2.HealthCheckResponse.ServingStatus.Name(next(call).status))
    call.cancel()
    return state


def unix_socket(_: grpc.Channel) -> bool:
    with grpc.insecure_channel(f"unix:{PLACE['unix']}", OWN) as channel:
        listed = ManagementAPIsServiceStub(channel).ListModels(management_pb2.ListModelsRequest(), timeout=60).msg
    return any(model["modelName"] == PLACE["model"] for model in json.loads(listed)["models"])


def secured(server: str, authority: str, key: str | None = None, certificate: str | None = None) -> grpc.Channel:
    content = [None if name is None else Path(PLACE[name]).read_bytes() for name in (authority, key, certificate)]
    return grpc.secure_channel(PLACE[server], grpc.ssl_channel_credentials(*content), LIMITS)


def tls(_: grpc.Channel) -> list[Any]:
    with secured("tls", "ca") as channel:
        return [predict(channel, "echo hello"), *stream(channel, "parts 3 0"), large(channel)]


def mutual_tls(_: grpc.Channel) -> list[str]:
    with secured("mutual_tls", "ca", "key", "certificate") as channel:
        return [predict(channel, "echo hello"), *stream(channel, "parts 3 0")]


def refused(channel: grpc.Channel) -> str:
    with channel:
        return predict(channel, "echo hello", timeout=10)


def reflection(channel: grpc.Channel) -> list[str]:
    """Several requests on one bidirectional stream."""
    database = ProtoReflectionDescriptorDatabase(channel)
    assert INFERENCE in database.get_services()
    return [method.name for method in DescriptorPool(database).FindServiceByName(INFERENCE).methods]


def keepalive() -> list[Any]:
    with grpc.insecure_channel(PLACE["plain"], KEEPALIVE) as channel:
        first = predict(channel, "echo hello")
        left = threading.Event()
        channel.subscribe(lambda state: left.set() if state is not grpc.ChannelConnectivity.READY else None)
        left.wait(0.2)
        left.clear()  # subscribing tells of IDLE first
        return [first, not left.wait(10), predict(channel, "echo hello")]


CASES: dict[str, Callable[[grpc.Channel], Any]] = {
    "ping": ping,
    "unary": lambda channel: predict(channel, "echo hello"),
    "stream": lambda channel: stream(channel, "parts 3 0"),
    "cancel_in_the_stream": cancel_in_the_stream,
    "cancel_at_once": cancel_at_once,
    "deadline": deadline,
    "gzip": lambda channel: len(predict(channel, "echo " + "hello " * 1000, compression=grpc.Compression.Gzip)),
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


def main() -> None:
    with ThreadPoolExecutor(1) as pool, grpc.insecure_channel(PLACE["plain"], LIMITS) as channel:
        pinging = pool.submit(keepalive)
        for name, run in CASES.items():
            say(name, run(channel))
        say("keepalive", pinging.result())
        *parts, code = stream(channel, "parts 30 0.1", lambda _, count: say("draining", True) if count == 1 else None)
        say("drain", [len(parts), code])
        say("after_the_stop", predict(channel, "echo hello", timeout=10))


main()
