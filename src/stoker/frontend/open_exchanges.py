"""Tracks the open exchanges of one listener: admission, stalled readers, drain, access log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

from stoker.core.ports import AccessLog, AccessRecord, RequestTelemetry
from stoker.core.turn import current_turn
from stoker.errors import MessageTooLarge, ReaderTooSlow, ServerStopping, StreamStalled
from stoker.frontend.exchange import Exchange

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
"""Interval between checks for stalled streams, while there may be any."""


class OpenExchanges:
    """Begins and ends every exchange.

    ``max_message_bytes``: limit for a request; `begin` checks the requests that arrive whole, their receiver the
    others.  ``http_status``: maps the protocol's statuses to HTTP's, for counters.
    """

    def __init__(
        self,
        *,
        access_log: AccessLog | None,
        max_message_bytes: int,
        stream_stall_timeout_s: float,
        stream_min_bytes_per_s: int = 0,
        telemetry: RequestTelemetry | None = None,
        http_status: Mapping[int, int] | None = None,
    ) -> None:
        self.open: set[Exchange] = set()
        self._ended: list[tuple[Exchange, int]] = []  # in this turn, with their statuses
        self._answered: dict[int, int] = {}
        self.draining = False
        self._access_log = access_log
        self._telemetry = telemetry
        self._http_status = http_status or {}
        self.max_message_bytes = max_message_bytes
        self._stall_timeout_s = stream_stall_timeout_s
        self._least_bytes = int(stream_min_bytes_per_s * stream_stall_timeout_s)
        self._floor = stream_min_bytes_per_s
        self._behind: dict[Exchange, _Checkpoint] = {}  # exchanges whose clients read too slowly
        self._idle: asyncio.Future[None] | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    # ----------------------------------------------------------------------------- life of an exchange

    def begin(self, exchange: Exchange) -> None:
        """Admits an exchange and starts its work. Never raises: an exchange that cannot begin is answered with the
        error.
        """
        self.open.add(exchange)
        try:
            if self.draining and not exchange.while_draining:
                raise ServerStopping
            if len(exchange.request) > self.max_message_bytes:
                raise MessageTooLarge(size=len(exchange.request), limit=self.max_message_bytes)
            exchange.work(exchange)
        except Exception as error:
            exchange.abandon(error)

    def end(self, exchange: Exchange, status: int) -> None:
        self.open.discard(exchange)
        if not (self._ended or self._answered):
            current_turn().defer(self._record)
        if self._access_log is not None:
            self._ended.append((exchange, status))
        if not exchange.while_draining:  # health checks do not count as requests
            self._answered[status] = self._answered.get(status, 0) + 1
        if self._idle is not None:
            self.check_quiet()

    def _record(self) -> None:
        """Logs and counts what has ended in this turn."""
        ended, self._ended = self._ended, []
        answered, self._answered = self._answered, {}
        if self._access_log is not None and ended:
            at, now = time.time(), time.monotonic()
            records: list[AccessRecord] = [
                (at, call.peer, call.label, status, int((now - call.started_at) * 1000), call.request_id)
                for call, status in ended
            ]
            self._access_log.record(records)
        if self._telemetry is not None:
            for status, count in answered.items():
                self._telemetry.answered(self._http_status.get(status, status), count)

    def check_quiet(self) -> None:
        """Ends the wait of a drain if nothing is left to wait for."""
        if self._idle is not None and not self._idle.done() and self.quiet:
            self._idle.set_result(None)

    def blocked(self, exchange: Exchange) -> None:
        if exchange not in self._behind:
            self._behind[exchange] = _Checkpoint(exchange.blocked_since, exchange.sent_bytes)
        if self._sweep_timer is None:
            self._arm_sweep()

    # ----------------------------------------------------------------------------------------- drain

    @property
    def quiet(self) -> bool:
        """Tells whether a drain has nothing to wait for."""
        return all(exchange.while_draining for exchange in self.open)

    async def drain(self, grace_s: float) -> None:
        """Refuses new exchanges, waits for the open ones, then ends those that are left."""
        self.draining = True
        for exchange in list(self.open):
            exchange.drain()
        if not self.quiet:
            await self._wait_quiet(grace_s)
        for exchange in list(self.open):
            exchange.abandon(ServerStopping())
        self.close()

    async def _wait_quiet(self, grace_s: float) -> None:
        self._idle = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([self._idle], timeout=grace_s)
        finally:
            self._idle = None

    def close(self) -> None:
        self._record()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    # --------------------------------------------------------------------------------- stalled readers

    def _arm_sweep(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Ends exchanges whose client has read too little for too long, even if their job has finished."""
        self._sweep_timer = None
        now = time.monotonic()
        self._behind = {
            exchange: behind
            for exchange, behind in self._behind.items()
            if not (exchange.writable or exchange.ended)  # one that has caught up starts afresh
        }
        for exchange, behind in list(self._behind.items()):
            error = self._stall_error(exchange, behind, now)
            if error is not None:
                log.info("%s: the client does not read; stream ended", exchange.label)
                exchange.abandon(error)
        if self._behind:
            self._arm_sweep()

    def _stall_error(self, exchange: Exchange, behind: _Checkpoint, now: float) -> StreamStalled | None:
        if now - exchange.blocked_since >= self._stall_timeout_s:
            return StreamStalled(seconds=self._stall_timeout_s)
        if now - behind.since < self._stall_timeout_s:
            return None
        if exchange.sent_bytes - behind.sent_bytes < self._least_bytes:
            return ReaderTooSlow(floor=self._floor)
        self._behind[exchange] = _Checkpoint(now, exchange.sent_bytes)
        return None


class _Checkpoint(NamedTuple):
    """Marks when a client's speed began to be measured, and how much had been sent to it by then."""

    since: float
    sent_bytes: int
