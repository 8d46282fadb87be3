"""Runs one gRPC listener: its engine, the calls that are open on it, and its drain."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Sequence

from stoker.core.ports import AccessLog, RequestTelemetry
from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.engine import ConnectionAge, Engine, Setup
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.reflection import reflection_methods
from stoker.frontend.grpc.status import HTTP
from stoker.frontend.listener import Budgets, flush_time
from stoker.frontend.open_exchanges import OpenExchanges
from stoker.frontend.tls import Tls

log = logging.getLogger(__name__)


class GrpcServer:
    """Listens between ``__aenter__`` and ``__aexit__``. ``engine``: ``nghttp2`` or ``grpcio``; see `choose_engine`.

    Entering raises `BindError` if the address is unavailable.  Leaving ends the calls that `drain` did not wait for.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        engine: str,
        methods: Sequence[Method],
        max_message_bytes: int,
        access_log: AccessLog | None = None,
        stream_stall_timeout_s: float = 30.0,
        stream_min_bytes_per_s: int = 0,
        telemetry: RequestTelemetry | None = None,
        tls: Tls | None = None,
        connection_age: ConnectionAge = ConnectionAge(),  # noqa: B008 - immutable
        limits: Limits = Limits(),  # noqa: B008 - immutable
        budgets: Budgets | None = None,
        other_port_hint: str = "",
    ) -> None:
        self._limits = limits
        self._budgets = budgets or Budgets()
        self._other_port_hint = other_port_hint
        self._tls = tls
        self._host = host
        self._requested_port = port
        self._engine_name = engine
        self._methods = methods
        self._max_message_bytes = max_message_bytes
        self._connection_age = connection_age
        self._stall_s = stream_stall_timeout_s
        self._calls = OpenExchanges(
            access_log=access_log,
            max_message_bytes=max_message_bytes,
            stream_stall_timeout_s=stream_stall_timeout_s,
            stream_min_bytes_per_s=stream_min_bytes_per_s,
            telemetry=telemetry,
            http_status=HTTP,
        )
        self._engine: Engine | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """Returns the bound port, even if 0 was requested."""
        return self._port

    @property
    def open_calls(self) -> int:
        return len(self._calls.open)

    async def __aenter__(self) -> GrpcServer:
        self._engine = self._make_engine()
        try:
            self._port = await self._engine.start()
        except BaseException:
            await self._engine.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._calls.drain(0.0)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.stop()

    async def drain(self, grace_s: float) -> None:
        """Answers new calls with UNAVAILABLE, waits up to ``grace_s`` for the open ones, then ends them the same way.

        Clients have the rest of ``grace_s`` to read their answers.  Health checks and watches continue until the end
        of the drain.
        """
        began, engine = time.monotonic(), self._engine
        if engine is not None:
            engine.start_draining()
        await self._calls.drain(grace_s)
        if engine is not None:
            await engine.flush(flush_time(grace_s, began))

    def _make_engine(self) -> Engine:
        services = sorted({method.service for method in self._methods})
        return _engine_class(self._engine_name)(
            Setup(
                host=self._host,
                port=self._requested_port,
                methods=[*self._methods, *reflection_methods(services)],
                open_calls=self._calls,
                max_message_bytes=self._max_message_bytes,
                budgets=self._budgets,
                stall_s=self._stall_s,
                tls=self._tls,
                connection_age=self._connection_age,
                limits=self._limits,
                other_port_hint=self._other_port_hint,
            )
        )


def _engine_class(name: str) -> Callable[[Setup], Engine]:
    """Imports only the engine in use, because ngh2 may be missing on a platform, and grpc is large."""
    if name == "nghttp2":
        from stoker.frontend.grpc.engine_nghttp2 import Nghttp2Engine  # noqa: PLC0415

        return Nghttp2Engine
    from stoker.frontend.grpc.engine_grpcio import GrpcioEngine  # noqa: PLC0415

    return GrpcioEngine


def choose_engine(setting: str) -> str:
    """Returns ``nghttp2``, or ``grpcio`` if the setting grpc_engine says so or ngh2 is not installed."""
    if setting == "native":
        log.warning("grpc_engine=native was removed; nghttp2, which is faster, is used instead")
    if setting == "grpcio":
        return setting
    if importlib.util.find_spec("ngh2") is None:
        log.warning("ngh2 is not installed: gRPC is served by grpcio, several times slower (pip install ngh2)")
        return "grpcio"
    return "nghttp2"
