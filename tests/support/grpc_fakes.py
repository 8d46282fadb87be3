"""Fakes behind the gRPC listener: ports whose answers the test decides."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import wire
from waiting import until

from stoker.core.job import Input, Job, ModelKey, new_request_id
from stoker.core.measures import ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.ports import (
    AccessRecord,
    Description,
    Health,
    Readiness,
    RegisterRequest,
    RepositoryEntry,
    ScaleRequest,
)
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.core.sequences import Membership, SequenceLimits, in_sequence, membership
from stoker.core.tensors import PLAIN, TensorInterface, TensorJob
from stoker.errors import ModelNotFound, ModelVersionNotFound
from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.health import health_methods
from stoker.frontend.grpc.inference import inference_methods
from stoker.frontend.grpc.management import management_methods
from stoker.frontend.grpc.open_inference import health_methods as open_health_methods
from stoker.frontend.grpc.open_inference import open_inference_methods
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.listener import Budgets
from stoker.frontend.open_inference.repository import Repository
from stoker.frontend.open_inference.service import OpenInference
from stoker.protos import InferenceAPIsServiceStub, ManagementAPIsServiceStub
from stoker.tensors import jobs

LIMIT = 6_553_500
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


DEADLINES = (0.2, 1.0, 5.0, 20.0)
"""For calls that must reach the server before they end: the next one if the machine was too busy for the last."""


@dataclass
class Submission:
    """One request that reached the port. The test answers through ``reply``."""

    model: str
    version: str | None
    inputs: dict[str, bytes]
    headers: Mapping[str, str] | None
    deadline: float | None
    streaming: bool
    reply: ReplyStream
    cancelled: bool = False
    consumed: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    alone: bool | None = None
    tensors: TensorJob | None = None

    def job_cancelled(self, job: Job) -> None:
        self.cancelled = True

    def job_consumed(self, job: Job, nbytes: int) -> None:
        self.consumed += nbytes

    def answer(self, *parts: bytes, meta: ResponseMeta | None = None) -> None:
        for part in parts[:-1]:
            self.reply.push(Chunk(part), last=False)
        self.reply.push(Chunk(parts[-1], meta), last=True)


def echo(submission: Submission) -> None:
    submission.answer(submission.inputs["data"])


def answering(*parts: bytes, meta: ResponseMeta | None = None) -> Callable[[Submission], None]:
    return lambda submission: submission.answer(*parts, meta=meta)


@dataclass
class FakeInference:
    """``refusal`` is raised by `submit`, ``refused`` times so far; ``on_submit`` may answer at once, else the test does
    later."""

    refusal: Exception | None = None
    refused: int = 0
    on_submit: Callable[[Submission], None] | None = None
    is_healthy: bool = True
    startup_model: str | None = None
    sequences: SequenceLimits | None = None
    submissions: list[Submission] = field(default_factory=list)

    def submit(
        self,
        model: str,
        version: str | None,
        inputs: Sequence[Input],
        *,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        streaming: bool = False,
        alone: bool | None = None,
        request_id: str | None = None,
        tensors: bytes = b"",
        member: Membership | None = None,
    ) -> ReplyStream:
        if self.refusal is not None:
            self.refused += 1
            raise self.refusal
        job = Job(
            ModelKey(model, version or "1.0"),
            inputs,
            headers=headers or {},
            deadline=deadline,
            id=request_id or new_request_id(),
        )
        if self.sequences is not None:
            member = member or membership(self.sequences.names, inputs, headers)
            job = in_sequence(job, self.sequences, member, "ts-seq-generated")
            headers = job.headers
        values = {item.name: bytes(item.value) for item in inputs}
        submission = Submission(model, version, values, headers, deadline, streaming, job.reply)
        submission.kinds = {item.name: item.content_type for item in inputs}
        submission.request_id, submission.alone = job.id, alone
        submission.tensors = jobs.decode(tensors) if tensors else None
        job.reply.producer, job.reply.job = submission, job
        self.submissions.append(submission)
        if self.on_submit is not None:
            self.on_submit(submission)
        return job.reply

    def has_sequences(self, model: str, version: str | None) -> bool:
        return self.sequences is not None

    def healthy(self) -> bool:
        return self.is_healthy

    def only_startup_model(self) -> str | None:
        return self.startup_model

    async def submitted(self, count: int = 1) -> Submission:
        await until(lambda: len(self.submissions) >= count)
        return self.submissions[-1]


@dataclass
class FakeModels:
    """The registry as the open inference protocol sees it. ``specs``: by name, in the order of registration."""

    specs: dict[str, list[ModelSpec]] = field(default_factory=dict)
    not_ready: set[str] = field(default_factory=set)
    has_room: bool = True
    stored: list[str] = field(default_factory=list)
    counted: dict[ModelKey, ModelCounters] = field(default_factory=dict)

    def add(self, name: str = "m", version: str = "1.0", interface: TensorInterface = PLAIN, **values: Any) -> None:
        key = ModelKey(name, version)
        spec = ModelSpec(key=key, url=f"{name}.mar", model_dir="/", handler="h", tensors=interface, **values)
        self.specs.setdefault(name, []).append(spec)

    def model_spec(self, model: str, version: str | None) -> ModelSpec:
        if model not in self.specs:
            raise ModelNotFound(model=model)
        for spec in self.specs[model]:
            if version in (None, "", spec.key.version):
                return spec
        raise ModelVersionNotFound(model=model, version=version)

    def versions(self, model: str) -> list[str]:
        self.model_spec(model, None)
        return [spec.key.version for spec in self.specs[model]]

    def version_ready(self, model: str, version: str | None) -> bool:
        self.model_spec(model, version)
        return model not in self.not_ready

    def takes_more_rows(self, model: str, version: str | None) -> bool:
        return self.has_room

    def counters(self, model: str, version: str | None) -> list[tuple[ModelKey, ModelCounters | None]]:
        if version:
            specs = [self.model_spec(model, version)]
        elif model:
            self.model_spec(model, None)
            specs = self.specs[model]
        else:
            specs = [spec for each in self.specs.values() for spec in each]
        return [(spec.key, self.counted.get(spec.key)) for spec in specs]

    async def repository(self) -> list[RepositoryEntry]:
        served = [RepositoryEntry(*key, "READY", "") for key, _ in self.counters("", None)]
        return [*served, *(RepositoryEntry(name, "", "UNAVAILABLE", "not loaded") for name in self.stored)]

    async def archives(self) -> list[str]:
        return [f"{name}.mar" for name in self.stored]


@dataclass
class FakeReadiness:
    state: Readiness = field(default_factory=lambda: Readiness(ready=True))
    models: dict[str, bool] = field(default_factory=dict)

    def readiness(self) -> Readiness:
        return self.state


@dataclass
class FakeManagement:
    """``answer`` or ``error`` is what every operation comes to; ``hold`` keeps it from ending."""

    answer: Any = "done"
    error: Exception | None = None
    hold: asyncio.Event | None = None
    meta: ResponseMeta | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    finished: int = 0
    cancelled: int = 0

    async def _operate(self, *asked: Any) -> Any:
        self.asked.append(asked)
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        if self.error is not None:
            raise self.error
        return self.answer

    async def register(self, request: RegisterRequest) -> str:
        return await self._operate("register", request)

    async def scale(self, request: ScaleRequest) -> str:
        return await self._operate("scale", request)

    async def set_default(self, model: str, version: str) -> str:
        return await self._operate("set_default", model, version)

    async def unregister(self, model: str, version: str | None) -> str:
        return await self._operate("unregister", model, version)

    async def describe_customized(
        self, model: str, version: str | None, *, headers: Mapping[str, str] | None = None
    ) -> Description:
        asked = ("describe_customized", model, version)
        return Description(await self._operate(*asked, *([] if headers is None else [headers])), self.meta)

    def list_models(self, limit: int, offset: int) -> dict[str, Any]:
        self.asked.append(("list_models", limit, offset))
        return self._now()

    def describe(self, model: str, version: str | None) -> list[dict[str, Any]]:
        self.asked.append(("describe", model, version))
        return self._now()

    def _now(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.answer


@dataclass
class FakeHealth:
    states: dict[str, Health] = field(default_factory=lambda: {"": Health.SERVING})
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def health(self, name: str) -> Health:
        return self.states.get(name, Health.UNKNOWN)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def change(self, name: str, state: Health) -> None:
        self.states[name] = state
        for listener in list(self.listeners):
            listener()


@dataclass
class FakeAccessLog:
    lines: list[tuple[str, str, int, int]] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    def record(self, calls: Sequence[AccessRecord]) -> None:
        for _, peer, request, status, milliseconds, request_id in calls:
            self.lines.append((peer, request, status, milliseconds))
            self.request_ids.append(request_id)


def repository_of(management: FakeManagement, models: FakeModels, enabled: bool, served: bool) -> Repository:
    return Repository(management, models, workers=0, model_api_enabled=enabled, served=served)


@dataclass
class Ports:
    """A listener with everything behind it."""

    engine: str
    inference: FakeInference = field(default_factory=FakeInference)
    management: FakeManagement = field(default_factory=FakeManagement)
    health: FakeHealth = field(default_factory=FakeHealth)
    models: FakeModels = field(default_factory=FakeModels)
    readiness: FakeReadiness = field(default_factory=FakeReadiness)
    repository_served: bool = True
    access_log: FakeAccessLog = field(default_factory=FakeAccessLog)
    status_codes: str = "correct"
    model_api_enabled: bool = True
    budgets: Budgets = field(default_factory=Budgets)

    def methods(self) -> list[Method]:
        return [
            *inference_methods(self.inference, status_codes=self.status_codes),
            *management_methods(
                self.management, status_codes=self.status_codes, model_api_enabled=self.model_api_enabled
            ),
            *health_methods(self.health),
            *open_health_methods(self.readiness),
            *open_inference_methods(
                OpenInference(self.inference, self.models, max_response_bytes=LIMIT),
                self.models,
                repository_of(self.management, self.models, self.model_api_enabled, self.repository_served),
                budget=self.budgets.unparsed,
                status_codes=self.status_codes,
            ),
        ]

    def server(self, *, port: int = 0, budgets: Budgets | None = None, **options: Any) -> GrpcServer:
        self.budgets = budgets or self.budgets
        return GrpcServer(
            host="127.0.0.1",
            port=port,
            engine=self.engine,
            methods=self.methods(),
            max_message_bytes=LIMIT,
            access_log=self.access_log,
            budgets=self.budgets,
            **{"tls": wire.grpc_tls(), **options},
        )


def listening_socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


class Running:
    """A server, and a channel to it."""

    def __init__(self, ports: Ports, server: GrpcServer, channel: grpc.aio.Channel) -> None:
        self.ports = ports
        self.server = server
        self.channel = channel
        self.inference = InferenceAPIsServiceStub(channel)
        self.management = ManagementAPIsServiceStub(channel)


@asynccontextmanager
async def running(
    ports: Ports, *, client_options: Sequence[tuple[str, Any]] = (), **options: Any
) -> AsyncIterator[Running]:
    async with (
        ports.server(**options) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=[*UNLIMITED, *client_options]) as channel,
    ):
        yield Running(ports, server, channel)
