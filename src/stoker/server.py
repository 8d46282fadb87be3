"""The composition root: builds the parts of a server, enters them in order, waits, and leaves in reverse.

No listener opens before every startup model is registered or has failed.  Leaving closes the parts in reverse:
frontends first, workers last.  Before that comes the drain: the first stop request refuses new work and waits for
what was accepted; a second one stops waiting.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from stoker import TORCHSERVE_VERSION, __version__, server_options
from stoker.config import security
from stoker.config.address import grpc_address, grpc_place
from stoker.config.security import AccessPolicy
from stoker.config.sequence_names import sequence_names
from stoker.config.settings import Settings
from stoker.core.clock import MonotonicClock
from stoker.core.ports import AccessLog, TokenScope
from stoker.errors import StartupError
from stoker.frontend import open_files, sockets
from stoker.frontend.grpc.authorization import guarded
from stoker.frontend.grpc.health import health_methods
from stoker.frontend.grpc.inference import inference_methods
from stoker.frontend.grpc.management import management_methods
from stoker.frontend.grpc.server import GrpcServer, choose_engine
from stoker.frontend.grpc.workflows import workflow_inference_methods, workflow_management_methods
from stoker.frontend.http.app import Api, App
from stoker.frontend.http.description import description_api
from stoker.frontend.http.guards import BrowserGuard
from stoker.frontend.http.inference import inference_api, probe_routes
from stoker.frontend.http.listener import HttpListener
from stoker.frontend.http.listeners import Role, roles_by_listener
from stoker.frontend.http.management import management_api
from stoker.frontend.http.metrics import metrics_api, metrics_routes
from stoker.frontend.http.openapi_operations import predictions_of_model
from stoker.frontend.http.predictions import Predictions, answers_of_errors
from stoker.frontend.http.workflows import workflow_routes
from stoker.frontend.open_exchanges import OpenExchanges
from stoker.frontend.protection import Protection
from stoker.frontend.protocol_v2 import ProtocolV2
from stoker.pool.devices import Devices
from stoker.pool.remote.cluster_checks import check_installed
from stoker.pool.remote.driver_process import DriverLost
from stoker.pool.remote.ray_placer import RayPlacer
from stoker.registry.registry import Registry
from stoker.snapshots import files as snapshot_files
from stoker.snapshots.folder import SnapshotFolder
from stoker.telemetry.metrics import Metrics
from stoker.telemetry.system import SystemMetrics
from stoker.workflows.service import Workflows

log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server:
    """Serves until it is stopped. ``access``: how open it is; left out, as strict as the settings say.

    ``metrics``: left out, nothing is measured. ``on_started`` is called once, when the startup models are
    registered and every listener is open; workers may still be loading then. ``snapshot_settings``: the properties that
    each snapshot contains; left out, none is written.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        access: AccessPolicy | None = None,
        access_log: AccessLog | None = None,
        metrics: Metrics | None = None,
        on_started: Callable[[], None] = lambda: None,
        snapshot_settings: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._access = access or security.decide(settings, mentioned=set(), file_in_use=True)
        self._access_log = access_log
        self._metrics = metrics or Metrics(mode="off")
        self._on_started = on_started
        self._snapshot_settings = snapshot_settings
        self._budgets = server_options.budgets(settings)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._grpc: list[GrpcServer] = []
        self._http: list[tuple[HttpListener, tuple[Role, ...]]] = []

    @property
    def addresses(self) -> Mapping[str, str]:
        """Returns the addresses of the APIs once started, e.g. ``{"REST inference": "http://127.0.0.1:8080", ...}``."""
        names = ("gRPC inference", "gRPC management")
        hosts = (self._settings.grpc_inference_address, self._settings.grpc_management_address)
        found = {name: grpc_place(host, one.port) for name, host, one in zip(names, hosts, self._grpc, strict=True)}
        for listener, roles in self._http:
            found.update({f"REST {role.value}": str(listener.address) for role in roles})
        return found

    def request_stop(self) -> None:
        """Asks for a stop after a drain; a second call cuts the drain short."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def run(self) -> None:
        """Runs from the first model to the end of the last worker. A stop before the server is up takes effect at once.

        Raises: StartupError: an address is in use, or settings contradict each other.
        """
        security.check(self._settings)
        server_options.check_addresses(self._settings)
        async with AsyncExitStack() as stack:
            stack.enter_context(_handle_stop_signals(self.request_stop))
            stack.callback(self._metrics.flush)
            protection = Protection(self._settings, self._access)
            registry = await self._enter_registry(stack)
            workflows = await self._enter_workflows(stack, registry)
            await self._check_addresses()
            self._budgets.files = open_files.for_connections(self._settings.max_connections)
            if not await self._load(registry):
                return
            for frontend in self._make_grpc(registry, workflows, protection):
                self._grpc.append(await stack.enter_async_context(frontend))
            for listener, roles in self._make_http(registry, workflows, protection):
                self._http.append((await stack.enter_async_context(listener), roles))
            await stack.enter_async_context(protection.active())
            if self._stop.is_set():
                return  # a stop was requested meanwhile
            self._report_started()
            _tune_gc()
            await self._stop.wait()
            await self._drain(registry, workflows)

    # ------------------------------------------------------------------------------------------ the parts

    async def _enter_registry(self, stack: AsyncExitStack) -> Registry:
        settings = self._settings
        store = server_options.model_store(settings)
        stack.push_async_callback(asyncio.to_thread, store.close)
        await asyncio.to_thread(store.open)
        devices = await asyncio.to_thread(Devices.detect, settings.number_of_gpu)
        metrics = self._metrics
        placer = await self._enter_placer(stack)
        registry = Registry(
            settings=settings,
            store=store,
            devices=devices,
            clock=MonotonicClock(),
            telemetry=metrics.model,
            snapshots=self._snapshot_folder(),
            placement=placer,
        )
        metrics.watch(registry.figures)
        if metrics.measures and not settings.disable_system_metrics:
            system = SystemMetrics(
                update=metrics.update, interval_s=settings.metric_time_interval_s, gpus=devices.figures
            )
            await stack.enter_async_context(system)
        return await stack.enter_async_context(registry)

    async def _enter_placer(self, stack: AsyncExitStack) -> RayPlacer | None:
        """Joins the Ray cluster, if workers may be placed there. Raises StartupError."""
        settings = self._settings
        if not settings.uses_ray:
            return None
        check_installed()
        placer = stack.enter_context(server_options.ray_placer(settings))
        stack.push_async_callback(placer.close)
        try:
            cluster = await placer.open()
        except DriverLost as error:
            raise StartupError(f"ray_address: {error.cause}") from None
        log.info(
            "Joined a Ray cluster of %d node(s), Ray %s", cluster.nodes, cluster.ray, extra={"event": "ray_joined"}
        )
        return placer

    async def _enter_workflows(self, stack: AsyncExitStack, registry: Registry) -> Workflows:
        settings = self._settings
        store = server_options.workflow_store(settings)
        stack.push_async_callback(asyncio.to_thread, store.close)
        workflows = Workflows(
            settings=settings, registry=registry, store=store, clock=MonotonicClock(), counters=self._metrics.workflow
        )
        registry.attach(workflows)
        stack.push_async_callback(workflows.close)
        return workflows

    @property
    def _workflow_api(self) -> bool:
        return self._access.model_api or self._settings.workflow_api == "torchserve"

    def _snapshot_folder(self) -> SnapshotFolder | None:
        if self._snapshot_settings is None:
            return None
        folder = snapshot_files.folder_of(self._settings.log_location)
        return SnapshotFolder(folder, settings=self._snapshot_settings, kept=self._settings.snapshots_kept)

    def _make_grpc(self, registry: Registry, workflows: Workflows, protection: Protection) -> Iterator[GrpcServer]:
        settings, codes = self._settings, self._settings.grpc_status_codes
        authorizer, tensors = protection.authorizer, self._protocol_v2(registry)
        open_methods = [*health_methods(registry), *tensors.open_methods()]
        inference = [
            *inference_methods(registry, status_codes=codes, names=sequence_names(settings)),
            *workflow_inference_methods(workflows, status_codes=codes),
            *tensors.methods(Role.INFERENCE, self._budgets.unparsed),
        ]
        management = [
            *management_methods(registry, status_codes=codes, model_api_enabled=self._access.model_api),
            *workflow_management_methods(workflows, status_codes=codes, enabled=self._workflow_api),
            *tensors.methods(Role.MANAGEMENT, self._budgets.unparsed),
        ]
        apis = (
            guarded(inference, authorizer, TokenScope.INFERENCE),
            guarded(management, authorizer, TokenScope.MANAGEMENT),
        )
        hosts = (settings.grpc_inference_address, settings.grpc_management_address)
        ports = (settings.grpc_inference_port, settings.grpc_management_port)
        ages = server_options.connection_ages(settings)
        engine = choose_engine(settings.grpc_engine)
        rests = (settings.inference_address, settings.management_address)
        for host, port, methods, age, rest in zip(hosts, ports, apis, ages, rests, strict=True):
            yield GrpcServer(
                host=host,
                port=port,
                engine=engine,
                methods=[*methods, *open_methods],
                max_message_bytes=settings.max_request_size,
                access_log=self._access_log,
                stream_stall_timeout_s=settings.stream_stall_timeout_s,
                stream_min_bytes_per_s=settings.stream_min_bytes_per_second,
                telemetry=self._metrics,
                tls=protection.grpc,
                connection_age=age,
                limits=server_options.grpc_limits(settings),
                budgets=self._budgets,
                other_port_hint=f"REST is served at {rest}.",
            )

    def _protocol_v2(self, registry: Registry) -> ProtocolV2:
        return ProtocolV2(registry, self._settings, model_api_enabled=self._access.model_api)

    def _make_http(
        self, registry: Registry, workflows: Workflows, protection: Protection
    ) -> Iterator[tuple[HttpListener, tuple[Role, ...]]]:
        """Makes a listener for each address, with the APIs of every role that has this address."""
        settings, authorizer, tensors = self._settings, protection.authorizer, self._protocol_v2(registry)
        predictions = Predictions(
            registry,
            authorizer=authorizer,
            hide_authorization=self._access.tokens,
            tensors=tensors.rest_inference(self._budgets.unparsed),
            openai_model=settings.openai_model,
        )
        apis = {
            Role.MANAGEMENT: self._management_api(registry, workflows, protection),
            Role.METRICS: metrics_api(self._metrics),
            Role.INFERENCE: inference_api(
                registry,
                authorizer=authorizer,
                readiness=registry,
                describe=partial(_describe_predictions, registry),
            ),
        }
        for role in (Role.MANAGEMENT, Role.INFERENCE):
            apis[role] = tensors.with_routes(apis[role], role)
        headers, limits = server_options.cors_headers(settings), server_options.http_limits(settings)
        for address, roles in roles_by_listener(settings):
            served = [api for role, api in apis.items() if role in roles]  # inference last: it knows every path
            if server_options.has_metrics(settings, roles) and Role.METRICS not in roles:
                served[0] = replace(served[0], routes=[*metrics_routes(self._metrics), *served[0].routes])
            described = server_options.operations(settings, roles)
            listener = HttpListener(
                address=address,
                app=App([description_api(described, version=TORCHSERVE_VERSION), *served]),
                predictor=predictions if Role.INFERENCE in roles else None,
                exchanges=self._open_exchanges(),
                answer_of=answers_of_errors(
                    settings.queue_full_status,
                    settings.workflow_status_codes,
                    open_inference_protocol=settings.ts_open_inference_protocol,
                    grpc_status_codes=settings.grpc_status_codes,
                ),
                headers=headers,
                tls=protection.https if address.scheme == "https" else None,
                limits=limits,
                budgets=self._budgets,
                other_port_hint=server_options.grpc_port_hint(settings, roles),
            )
            yield listener, roles

    def _open_exchanges(self) -> OpenExchanges:
        settings = self._settings
        return OpenExchanges(
            access_log=self._access_log,
            telemetry=self._metrics,
            max_message_bytes=settings.max_request_size,
            stream_stall_timeout_s=settings.stream_stall_timeout_s,
            stream_min_bytes_per_s=settings.stream_min_bytes_per_second,
        )

    def _management_api(self, registry: Registry, workflows: Workflows, protection: Protection) -> Api:
        settings, place = self._settings, self._settings.management_address
        guard = BrowserGuard(
            hosts=[*settings.allowed_hosts, socket.gethostname(), place.host],
            origins=settings.cors_allowed_origin,
            local=place.is_local,
        )
        api = management_api(
            registry,
            authorizer=protection.authorizer,
            guard=None if place.scheme == "unix" else guard,
            model_api_enabled=self._access.model_api,
        )
        return replace(
            api,
            routes=[*api.routes, *workflow_routes(workflows, enabled=self._workflow_api)],
            open_routes=[*api.open_routes, *probe_routes(registry)],
        )

    # ------------------------------------------------------------------------------------- start and stop

    async def _check_addresses(self) -> None:
        """Fails early if an address is in use: loading models may take long. Raises BindError."""
        settings = self._settings
        grpc = (
            grpc_address(settings.grpc_inference_address, settings.grpc_inference_port),
            grpc_address(settings.grpc_management_address, settings.grpc_management_port),
        )
        for address in (*grpc, *(address for address, _ in roles_by_listener(settings))):
            await sockets.check_free(address)

    async def _load(self, registry: Registry) -> bool:
        """Returns True once the startup models are registered or given up, False if a stop came first."""
        loading = asyncio.ensure_future(registry.load_at_startup())
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loading.result()
                return True
            log.info("Stopping before the startup models are registered", extra={"event": "server_stopping"})
            return False
        finally:
            for waiting in (stopping, loading):
                if not waiting.done():
                    await _cancel_and_wait(waiting)

    def _report_started(self) -> None:
        where = ", ".join(f"{api} on {address}" for api, address in self.addresses.items())
        log.info(
            "stoker %s (TorchServe %s API) serves %s",
            __version__,
            TORCHSERVE_VERSION,
            where,
            extra={"event": "server_started", "addresses": dict(self.addresses)},
        )
        for text in security.remarks(self._settings, self._access):
            log.warning("%s", text)
        self._on_started()

    async def _drain(self, registry: Registry, workflows: Workflows) -> None:
        """Sets health to NOT_SERVING, refuses new work, and gives accepted requests `drain_timeout` to end."""
        grace_s = self._settings.drain_timeout_s
        log.info("Stopping: requests in flight have %g s to end", grace_s, extra={"event": "server_stopping"})
        workflows.close_admission()
        registry.close_admission()
        drains = [frontend.drain(grace_s) for frontend in self._grpc]
        drains += [listener.drain(grace_s) for listener, _ in self._http]
        await _wait_unless(self._stop_now, [*drains, workflows.drain(grace_s), registry.drain(grace_s)])


def _describe_predictions(registry: Registry, model: str) -> dict[str, Any]:
    registry.describe(model, None)  # raises if the model is unknown
    return predictions_of_model(model)


def _tune_gc() -> None:
    """Exempts what exists now from collection, and collects less often: requests leave no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _wait_unless(event: asyncio.Event, work: Iterable[Awaitable[object]]) -> None:
    """Waits for all of ``work``, or until ``event`` is set; cancels what has not ended."""
    done = asyncio.gather(*work)
    interrupted = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((done, interrupted), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel_and_wait(interrupted)
        await _cancel_and_wait(done)


async def _cancel_and_wait(future: asyncio.Future[Any]) -> None:
    """Cancels ``future`` and waits for its end. Logs its error, which would be lost otherwise."""
    future.cancel()
    results = await asyncio.gather(future, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            log.error("A component did not stop cleanly", exc_info=result)


@contextmanager
def _handle_stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls ``stop`` for each stop signal inside the block."""
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, previous[number])  # the loop sets the default, which would end a stop half-way
