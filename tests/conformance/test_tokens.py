"""Which token opens what: every gRPC method on both engines, and the inference paths of REST."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc_fakes import Ports
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from http_fakes import FakeAuthorizer, HttpPorts
from http_fakes import running as http_running

from stoker.core.ports import TokenScope
from stoker.errors import TokenRejected, Unauthorized
from stoker.frontend.auth import TokenAuthorizer
from stoker.frontend.grpc.authorization import guarded
from stoker.frontend.grpc.inference import inference_methods
from stoker.frontend.grpc.management import management_methods
from stoker.protos import InferenceAPIsServiceStub, ManagementAPIsServiceStub, management_pb2
from stoker.protos import inference_pb2 as pb

REFUSAL = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"
SHOWN = ["none", "wrong", "other kind", "API", "expired", "malformed", "right"]


@dataclass
class Keys:
    """A real authorizer, and what may be shown to it."""

    authorizer: TokenAuthorizer
    now: list[float]
    keys: dict[str, str]

    def shown(self, what: str, scope: TokenScope) -> str | None:
        other = next(kind for kind in TokenScope if kind is not scope)
        words = {
            "none": None,
            "wrong": "Bearer " + "x" * 43,
            "other kind": f"Bearer {self.keys[other.value]}",
            "API": f"Bearer {self.keys['API']}",
            "malformed": f"bearer {self.keys[scope.value]}",
        }
        if what == "expired":
            self.now[0] += 61.0
        return words.get(what, f"Bearer {self.keys[scope.value]}")


def made(folder: Path, rejection: type[TokenRejected] = TokenRejected) -> Iterator[Keys]:
    now = [1000.0]
    authorizer = TokenAuthorizer(folder=folder, lifetime_s=60.0, rejection=rejection, monotonic=lambda: now[0])
    with authorizer.published() as path:
        content = json.loads(path.read_text())
        yield Keys(authorizer, now, {name: member["key"] for name, member in content.items()})


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    yield from made(tmp_path)


# ---------------------------------------------------------------------------------------------------- gRPC


@dataclass
class Guarded(Ports):
    keys: Any = None

    def methods(self) -> list[Any]:
        authorizer = self.keys.authorizer
        inference = guarded(inference_methods(self.inference), authorizer, TokenScope.INFERENCE)
        management = guarded(
            management_methods(self.management, model_api_enabled=True), authorizer, TokenScope.MANAGEMENT
        )
        health = [method for method in super().methods() if method.service.startswith("grpc.health")]
        return [*inference, *management, *health]


@asynccontextmanager
async def served(engine: str, keys: Keys) -> AsyncIterator[tuple[Guarded, grpc.aio.Channel]]:
    ports = Guarded(engine, keys=keys)
    ports.inference.on_submit = lambda submission: submission.answer(b"fine")
    async with ports.server() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield ports, channel


async def unary(call: Any) -> None:
    await call


async def stream(call: Any) -> None:
    async for _ in call:
        pass


PREDICTION = pb.PredictionsRequest(model_name="m", input={"data": b"in"})
METHODS: dict[str, tuple[TokenScope, Any]] = {
    "Ping": (TokenScope.INFERENCE, empty_pb2.Empty()),
    "Predictions": (TokenScope.INFERENCE, PREDICTION),
    "StreamPredictions": (TokenScope.INFERENCE, PREDICTION),
    "DescribeModel": (TokenScope.MANAGEMENT, management_pb2.DescribeModelRequest(model_name="m")),
    "ListModels": (TokenScope.MANAGEMENT, management_pb2.ListModelsRequest()),
    "RegisterModel": (TokenScope.MANAGEMENT, management_pb2.RegisterModelRequest(url="m.mar")),
    "ScaleWorker": (TokenScope.MANAGEMENT, management_pb2.ScaleWorkerRequest(model_name="m")),
    "SetDefault": (TokenScope.MANAGEMENT, management_pb2.SetDefaultRequest(model_name="m", model_version="1")),
    "UnregisterModel": (TokenScope.MANAGEMENT, management_pb2.UnregisterModelRequest(model_name="m")),
}


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_asks_for_the_key_of_its_own_service(engine: str, keys: Keys, method: str) -> None:
    scope, request = METHODS[method]
    async with served(engine, keys) as (ports, channel):
        stub = (InferenceAPIsServiceStub if scope is TokenScope.INFERENCE else ManagementAPIsServiceStub)(channel)
        read = stream if method == "StreamPredictions" else unary
        for what in ["right", *SHOWN[:-1]]:
            reached = len(ports.inference.submissions) + len(ports.management.asked)
            word = keys.shown(what, scope)
            call = getattr(stub, method)(request, timeout=30, metadata=[("authorization", word)] if word else None)
            if what == "right":
                await read(call)
                continue
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(call)
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.PERMISSION_DENIED, REFUSAL), what
            assert len(ports.inference.submissions) + len(ports.management.asked) == reached, what
            if what == "expired":
                keys.now[0] -= 61.0


async def test_health_and_reflection_need_no_token(engine: str, keys: Keys) -> None:
    async with served(engine, keys) as (_, channel):
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]), timeout=30)]
        assert len(answers[0].list_services_response.service) >= 3


async def test_the_token_does_not_reach_the_handler(engine: str, keys: Keys) -> None:
    async with served(engine, keys) as (ports, channel):
        metadata = [("authorization", keys.shown("right", TokenScope.INFERENCE)), ("mine", "kept")]
        await InferenceAPIsServiceStub(channel).Predictions(PREDICTION, timeout=30, metadata=metadata)
        assert ports.inference.submissions[0].headers == {"mine": "kept"}


async def test_a_replaced_key_is_refused_at_once(engine: str, keys: Keys) -> None:
    async with served(engine, keys) as (_, channel):
        ping = InferenceAPIsServiceStub(channel).Ping
        old = [("authorization", keys.shown("right", TokenScope.INFERENCE))]
        await ping(empty_pb2.Empty(), timeout=30, metadata=old)
        keys.authorizer.rotate("inference", f"Bearer {keys.keys['API']}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ping(empty_pb2.Empty(), timeout=30, metadata=old)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


# ---------------------------------------------------------------------------------------------------- REST


class Asking(FakeAuthorizer):
    """The real authorizer in the place of the fake one."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(token="a real one")
        self._authorizer = keys.authorizer

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        self._authorizer.check(scope, authorization)


PATHS = [
    ("GET", "/ping"),
    ("POST", "/predictions/m"),
    ("POST", "/predictions/m/1.0"),
    ("POST", "/explanations/m"),
    ("POST", "/v1/models/m:predict"),
    ("POST", "/v2/models/m/infer"),
    ("POST", "/invocations?model_name=m"),
    ("POST", "/m/predict"),
    ("GET", "/no/such/path/at/all"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_each_inference_path_asks_for_the_inference_key(keys: Keys, method: str, path: str) -> None:
    ports = HttpPorts(authorizer=Asking(keys))
    ports.inference.on_submit = lambda submission: submission.answer(b"fine")
    async with http_running(ports) as run:
        for what in ["right", *SHOWN[:-1]]:
            reached = len(ports.inference.submissions)
            word = keys.shown(what, TokenScope.INFERENCE)
            answer = await run.client.request(method, path, headers={"Authorization": word} if word else {})
            if what == "right":
                assert answer.status_code == (404 if "/no/" in path else 200), answer.text
                continue
            assert answer.status_code == 400, what
            assert answer.json() == {"code": 400, "type": "InvalidKeyException", "message": REFUSAL}
            assert len(ports.inference.submissions) == reached
            if what == "expired":
                keys.now[0] -= 61.0


@pytest.mark.parametrize("path", ["/live", "/ready"])
async def test_probes_need_no_token(keys: Keys, path: str) -> None:
    async with http_running(HttpPorts(authorizer=Asking(keys))) as run:
        assert (await run.client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/ping", "/predictions/m"])
async def test_a_setting_answers_401_as_other_servers_do(tmp_path: Path, path: str) -> None:
    for keys in made(tmp_path, Unauthorized):
        async with http_running(HttpPorts(authorizer=Asking(keys))) as run:
            answer = await run.client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json() == {"code": 401, "type": "InvalidKeyException", "message": REFUSAL}
