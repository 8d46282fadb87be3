"""Fakes behind an HTTP listener, and clients of it: a well-behaved one, and one that sends raw bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import httpx
import wire
from grpc_fakes import (
    FakeAccessLog,
    FakeInference,
    FakeManagement,
    FakeModels,
    FakeReadiness,
    Submission,
    repository_of,
)
from leaks import look_for_leaks

from stoker.config.address import Address
from stoker.core.ports import TokenScope
from stoker.errors import ResourceNotFound, TokenRejected
from stoker.frontend.http.app import App
from stoker.frontend.http.infer import RestInference
from stoker.frontend.http.inference import inference_api
from stoker.frontend.http.listener import HttpListener
from stoker.frontend.http.open_inference import health_routes, open_inference_routes
from stoker.frontend.http.predictions import Predictions, answers_of_errors
from stoker.frontend.http.protocol import HttpConnection
from stoker.frontend.listener import Budgets, Limits
from stoker.frontend.open_exchanges import OpenExchanges
from stoker.frontend.open_inference.service import OpenInference

LIMIT = 100_000
PING = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n"
PREDICT = b"GET /predictions/m HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\n"


@dataclass
class FakeAuthorizer:
    """``token`` None: everyone may call."""

    token: str | None = None

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        if self.token is not None and authorization != f"Bearer {self.token}":
            raise TokenRejected

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        raise ResourceNotFound


@dataclass
class FakeTelemetry:
    statuses: list[int] = field(default_factory=list)

    def answered(self, http_status: int, count: int = 1) -> None:
        self.statuses += [http_status] * count


@dataclass
class HttpPorts:
    inference: FakeInference = field(default_factory=FakeInference)
    readiness: FakeReadiness = field(default_factory=FakeReadiness)
    authorizer: FakeAuthorizer = field(default_factory=FakeAuthorizer)
    access_log: FakeAccessLog = field(default_factory=FakeAccessLog)
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)
    open_inference_protocol: bool = False
    models: FakeModels = field(default_factory=FakeModels)
    management: FakeManagement = field(default_factory=FakeManagement)
    model_api_enabled: bool = True
    repository_served: bool = True
    status_codes: str = "correct"
    queue_full_status: int = 503
    workflow_status_codes: str = "correct"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    describe: Callable[[str], dict[str, str]] | None = None

    other_port_hint: str = ""
    budgets: Budgets = field(default_factory=Budgets)

    def app(self) -> App:
        api = inference_api(
            self.inference,
            authorizer=self.authorizer,
            readiness=self.readiness,
            describe=self.describe,
        )
        if self.open_inference_protocol:
            repository = repository_of(self.management, self.models, self.model_api_enabled, self.repository_served)
            routes = [*open_inference_routes(self.models, repository), *api.routes]
            api = replace(api, routes=routes, open_routes=[*health_routes(self.readiness), *api.open_routes])
        return App([api])

    def tensors(self) -> RestInference | None:
        if not self.open_inference_protocol:
            return None
        inference = OpenInference(self.inference, self.models, max_response_bytes=LIMIT)
        return RestInference(inference, self.models, max_request_size=LIMIT, budget=self.budgets.unparsed)

    def listener(
        self,
        address: Address | None = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        app: App | None = None,
        tls: ssl.SSLContext | None = None,
        stall_s: float = 60.0,
        min_bytes_per_s: int = 0,
    ) -> HttpListener:
        if address is None and tls is None:
            tls = wire.http_context()
        predictions = Predictions(
            self.inference,
            authorizer=self.authorizer,
            hide_authorization=self.authorizer.token is not None,
            tensors=self.tensors(),
        )
        return HttpListener(
            address=address or Address("http" if tls is None else "https", "127.0.0.1", 0),
            app=app or self.app(),
            predictor=predictions,
            exchanges=OpenExchanges(
                access_log=self.access_log,
                telemetry=self.telemetry,
                max_message_bytes=LIMIT,
                stream_stall_timeout_s=stall_s,
                stream_min_bytes_per_s=min_bytes_per_s,
            ),
            answer_of=answers_of_errors(
                self.queue_full_status,
                self.workflow_status_codes,
                open_inference_protocol=self.open_inference_protocol,
                grpc_status_codes=self.status_codes,
            ),
            headers=self.headers,
            limits=limits,
            budgets=self.budgets,
            other_port_hint=self.other_port_hint,
            tls=tls,
        )


class Running:
    def __init__(self, ports: HttpPorts, listener: HttpListener, client: httpx.AsyncClient) -> None:
        self.ports = ports
        self.inference = ports.inference
        self.listener = listener
        self.client = client
        self._writers: list[asyncio.StreamWriter] = []

    async def raw(self, request: bytes) -> bytes:
        """Returns the server's answer to these exact bytes, up to the end of the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await wire.connect(self.listener.port)
        self._writers.append(writer)
        return reader, writer

    def close(self) -> None:
        for writer in self._writers:
            with suppress(AttributeError):  # TLS of older Pythons has forgotten a connection that was closed twice
                writer.transport.abort()


@asynccontextmanager
async def running(ports: HttpPorts) -> AsyncIterator[Running]:
    async with ports.listener() as listener, client_of(str(listener.address)) as client:
        it = Running(ports, listener, client)
        try:
            yield it
        finally:
            it.close()


async def neighbour_is_answered(server: Running) -> None:
    assert (await server.client.get("/ping")).status_code == 200


def connections(listener: HttpListener) -> list[HttpConnection]:
    return [one for one in listener._connections.open if isinstance(one, HttpConnection)]


def held(listener: HttpListener) -> int:
    """Bytes that the connections hold, received or to be written."""
    return sum(len(one._rest) + one._transport.get_write_buffer_size() for one in connections(listener))


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx would make one for each client, and that takes its time


def client_of(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=address,
        timeout=60,
        verify=wire.trusting() if address.startswith("https:") else _NO_TLS,
        trust_env=False,
        event_hooks={"response": [look_for_leaks]},
    )


def echo(submission: Submission) -> None:
    """Answers at once with all values joined."""
    submission.answer(b"".join(submission.inputs.values()))
