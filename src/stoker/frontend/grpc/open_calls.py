"""The calls that are open on one listener: admission, stalled readers, drain, access log. Both engines share it."""

from __future__ import annotations

import asyncio
import logging
import time

from stoker.core.ports import AccessLog, RequestTelemetry
from stoker.errors import MessageTooLarge, ServerStopping, StreamStalled
from stoker.frontend.grpc.call import Call, readable_peer
from stoker.frontend.grpc.status import HTTP

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
"""How often stalled streams are looked for while there may be any."""


class OpenCalls:
    """Every call is begun and ended here, once. ``by_key`` is for engines, which look cancelled calls up."""

    def __init__(
        self,
        *,
        access_log: AccessLog | None,
        max_message_bytes: int,
        stream_stall_timeout_s: float,
        telemetry: RequestTelemetry | None = None,
    ) -> None:
        self._telemetry = telemetry
        self.by_key: dict[int, Call] = {}
        self.draining = False
        self._access_log = access_log
        self._max_message_bytes = max_message_bytes
        self._stall_timeout_s = stream_stall_timeout_s
        self._idle: asyncio.Future[None] | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    # --------------------------------------------------------------------------------- life of a call

    def begin(self, call: Call) -> None:
        """Hands the call to its method. Never raises: a call that cannot begin is answered here."""
        self.by_key[call.key] = call
        method = call.method
        try:
            if len(call.request) > self._max_message_bytes:
                raise MessageTooLarge(size=len(call.request), limit=self._max_message_bytes)
            if self.draining and not method.while_draining:
                raise ServerStopping
            method.handle(call)
        except Exception as error:
            call.abandon(error)

    def end(self, call: Call, code: int) -> None:
        self.by_key.pop(call.key, None)
        if self._access_log is not None:
            elapsed_ms = int((time.monotonic() - call.started_at) * 1000)
            self._access_log.record(readable_peer(call.peer), call.method.label, code, elapsed_ms)
        if self._telemetry is not None and not call.method.while_draining:  # health checks are no requests
            self._telemetry.answered(HTTP.get(code, 500))
        if self._idle is not None and not self._idle.done() and self.quiet:
            self._idle.set_result(None)

    def blocked(self, call: Call) -> None:
        """The client does not read as fast as the stream is written."""
        call.blocked_since = time.monotonic()
        if self._sweep_timer is None:
            self._arm_sweep()

    # ----------------------------------------------------------------------------------------- drain

    @property
    def quiet(self) -> bool:
        """Whether no call is open that a drain waits for."""
        return all(call.method.while_draining for call in self.by_key.values())

    async def drain(self, grace_s: float) -> None:
        """Refuses new calls from now on, waits for the open ones, then gives up those that are left."""
        self.draining = True
        if not self.quiet:
            await self._wait_quiet(grace_s)
        for call in list(self.by_key.values()):
            call.abandon(ServerStopping())
        self.close()

    async def _wait_quiet(self, grace_s: float) -> None:
        self._idle = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([self._idle], timeout=grace_s)
        finally:
            self._idle = None

    def close(self) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    # --------------------------------------------------------------------------------- stalled readers

    def _arm_sweep(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Ends streams whose client has not read for too long, also those whose job is long done."""
        self._sweep_timer = None
        since = time.monotonic() - self._stall_timeout_s
        blocked = [call for call in self.by_key.values() if not call.writable]
        for call in blocked:
            if call.blocked_since <= since:
                _log.info("%s: the client does not read; stream ended", call.method.name)
                call.abandon(StreamStalled(seconds=self._stall_timeout_s))
        if blocked:
            self._arm_sweep()
