"""Writes the output of one HTTP/2 connection, as fast as the client reads, and controls its flow.

What calls hand to libnghttp2 during a turn of the loop is written once, at the end of the turn; large answers take
turns with those of other connections.

Invariants: unread answers are bounded: beyond the bound no request is begun, and while the client reads nothing at all,
nothing is read from it.
"""

from __future__ import annotations

import asyncio
import logging
import time

import ngh2
from ngh2 import ConnectionClosed, StreamClosed

from stoker.core.turn import current_turn
from stoker.frontend.grpc.call import ROOM_BYTES
from stoker.frontend.grpc.engine import Setup
from stoker.frontend.grpc.held_requests import HeldRequests
from stoker.frontend.grpc.limits import FloodGuard
from stoker.frontend.grpc.stream_call import StreamCall
from stoker.frontend.transfers import Reading, current_transfers

log = logging.getLogger(__name__)

WRITE_BYTES = 64 << 10
"""Bytes to write at a time: for larger pieces, malloc would take fresh pages from the kernel every time."""

NO_ERROR, CANCEL, ENHANCE_YOUR_CALM = 0, 8, 11
_TOO_MANY_PINGS = b"too_many_pings"
"""Debug data that makes gRPC's libraries ping half as often; pings are the only frames that they send in such
numbers."""


class ConnectionOutput(asyncio.Protocol):
    """``peer``: where the client is, as the access log shows it. ``now``: when bytes last arrived (monotonic)."""

    __slots__ = (
        "__weakref__",
        "_awaits_turn",
        "_final_goaway",
        "_flood",
        "_flush_planned",
        "_held",
        "_overfull",
        "_reading",
        "_sliced",
        "_stall_s",
        "_stuck_bytes",
        "_stuck_since",
        "_to_reset",
        "_transfers",
        "_transport",
        "_turn",
        "_unread",
        "_unread_answers",
        "_waiting",
        "_write_paused",
        "calls",
        "http2",
        "limits",
        "now",
        "opened_at",
        "peer",
    )

    def __init__(self, setup: Setup, http2: ngh2.Connection) -> None:
        self.limits = setup.limits
        self.http2 = http2
        self.peer = ""
        self.now = self.opened_at = time.monotonic()
        self.calls: dict[int, StreamCall] = {}
        self._unread_answers = setup.budgets.unread
        self._stall_s = setup.stall_s
        self._flood = FloodGuard(self.now, setup.limits)
        self._turn = current_turn()
        self._transport: asyncio.Transport | None = None
        self._flush_planned = False
        self._write_paused = False
        self._awaits_turn = False  # to write more
        self._waiting: set[StreamCall] = set()
        self._sliced: dict[int, StreamCall] = {}  # calls with large messages not yet in HTTP/2's queue
        self._overfull = False  # too many answers are unread
        self._held = HeldRequests()
        self._to_reset: set[int] = set()
        self._unread = 0
        self._stuck_bytes = 0
        self._stuck_since = 0.0
        self._final_goaway = False  # sent or received

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is one
        self._transport = transport
        self._reading = Reading(transport)
        self._transfers = current_transfers()

    def _stream_closed(self, id: int) -> None:
        """Forgets a stream. Its call learns that the client has left, unless it has ended."""
        raise NotImplementedError

    def _begin_held(self, transport: asyncio.Transport) -> None:
        """Begins held requests while unread answers leave room."""
        raise NotImplementedError

    def _leave(self, transport: asyncio.Transport) -> None:
        """Ends a connection of which everything has been written."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------ for calls

    def return_window(self, id: int, nbytes: int) -> None:
        """Returns ``nbytes`` to the client's flow-control windows."""
        try:
            self.http2.acknowledge_received_data(nbytes, id)
        except ngh2.NGH2Error:
            pass  # the connection is closing

    def set_window(self, id: int, nbytes: int) -> int:
        """Opens the stream's window for a large message in one step, or lets it shrink after one. Returns its size."""
        size = min(nbytes, self.limits.message_window)
        try:
            self.http2.set_local_window_size(size, stream_id=id)
        except ngh2.NGH2Error:
            pass  # the client has already ended the stream
        return size

    def wait_for_room(self, call: StreamCall) -> None:
        self._waiting.add(call)

    def reset_after(self, id: int) -> None:
        """Resets a stream that was answered before its request ended, so that the client stops sending; does so once
        the answer has left."""
        self._to_reset.add(id)

    def send_in_slices(self, call: StreamCall) -> None:
        self._sliced[call.id] = call

    def plan_flush(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            self._turn.defer(self._flush)

    # -------------------------------------------------------------------------------------------- output

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self.plan_flush()

    def _flush(self) -> None:
        self._flush_planned = False
        transport, http2 = self._transport, self.http2
        if transport is None or self._awaits_turn:
            return
        try:
            self._write_out(transport)
        except ngh2.NGH2Error as error:
            self._abort(str(error))
            return
        for event in http2.events():
            if type(event) is StreamClosed:
                self._stream_closed(event.stream_id)
            elif type(event) is ConnectionClosed:
                self._leave(transport)
        if self._waiting:
            self._wake_calls()
        unread = http2.queued_body_size()
        if self._sliced or self._write_paused:
            unread = self._unread_now(transport)
        if unread != self._unread or self._held or not self._reading.wanted:
            self._count_unread(unread, transport)
        if self._final_goaway and not self.calls and not unread:
            self._leave(transport)

    def _write_out(self, transport: asyncio.Transport) -> None:
        """Writes in pieces, until the transport is full or the turn is over."""
        http2 = self.http2
        while not self._write_paused:
            if self._sliced:
                self._send_slices()
            more = http2.queued_body_size() > WRITE_BYTES or bool(self._sliced)
            data = http2.data_to_send(WRITE_BYTES) if more else http2.data_to_send()
            if self._to_reset and not (more and data) and self._reset_answered():
                data += http2.data_to_send()
            if not data:
                return
            transport.write(data)
            self._flood.bytes_sent += len(data)
            if not more:
                return
            if not self._transfers.spend(len(data)):
                self._awaits_turn = True
                self._transfers.wait(self._go_on)
                return

    def _go_on(self) -> None:
        self._awaits_turn = False
        self.plan_flush()

    def _send_slices(self) -> None:
        for id, call in list(self._sliced.items()):
            if not call.send_slice():
                del self._sliced[id]

    def _reset_answered(self) -> bool:
        """Resets answered streams in the same write as their trailers: gRPC's core treats a later reset as an error."""
        queued = self.http2.queued_body_size
        sent = [id for id in self._to_reset if id not in self._sliced and not queued(id)]
        for id in sent:
            self._to_reset.discard(id)
            self.http2.reset_stream(id, NO_ERROR)
        return bool(sent)

    def _wake_calls(self) -> None:
        for call in list(self._waiting):
            if call.ended:
                self._waiting.discard(call)
            elif call.unsent < ROOM_BYTES:
                self._waiting.discard(call)
                call.became_writable()

    def _unread_now(self, transport: asyncio.Transport) -> int:
        unread = self.http2.queued_body_size()
        if self._sliced:
            unread += sum(call.kept for call in self._sliced.values())
        return unread + transport.get_write_buffer_size() if self._write_paused else unread

    def _count_unread(self, unread: int, transport: asyncio.Transport | None) -> None:
        """Counts unread answers in the budget. While there are too many, no request is begun, and if the client reads
        nothing at all, nothing is read from it.
        """
        self._unread = unread
        if transport is None:
            self._unread_answers.set(self, 0)
            return
        most = self.limits.unread_bytes
        self._overfull = unread > (most // 2 if self._overfull else most)
        self._reading.want(not (self._overfull and self._write_paused))
        self._unread_answers.set(self, unread + self._held.size)
        if self._held and not self._overfull:
            self._begin_held(transport)

    def _check_stalls(self, transport: asyncio.Transport, now: float) -> None:
        """Drops answers of which the client reads nothing or whose deadline has passed, and a connection that reads
        nothing at all."""
        stall_s = self._stall_s
        buffered = transport.get_write_buffer_size()
        if not buffered or buffered != self._stuck_bytes:
            self._stuck_bytes, self._stuck_since = buffered, now
        elif now - self._stuck_since >= stall_s:
            self._abort("the client does not read")
            return
        for call in list(self.calls.values()):
            unread = call.unsent if call.ended else 0
            if unread and call.deadline is not None and now >= call.deadline:
                call.reset(CANCEL)
            elif not unread or unread != call.unread:
                call.unread, call.unread_since = unread, now
            elif now - call.unread_since >= stall_s:
                call.reset(ENHANCE_YOUR_CALM)

    def give_up(self) -> None:
        """Closes at once; unread bytes are lost."""
        if self._transport is not None:
            self._transport.abort()

    def _abort(self, reason: str, code: int | None = None) -> None:
        """Closes a connection that breaks the rules, with GOAWAY if the protocol's state allows it."""
        log.info("%s: connection closed: %s", self.peer, reason)
        transport = self._transport
        if transport is None:
            return
        try:
            if code is not None:
                self.http2.send_goaway(code, debug_data=_TOO_MANY_PINGS)
            if self._write_paused or transport.is_closing():
                transport.abort()  # the client does not read: an orderly end would wait behind its unread bytes
                return
            transport.write(self.http2.data_to_send(WRITE_BYTES))
            transport.close()
        except ngh2.NGH2Error:
            transport.abort()
