"""Runs one HTTP/2 connection: turns bytes into calls, until the client leaves or takes too long.

libnghttp2 (through `ngh2`, which does no I/O) keeps the protocol's state.  This module feeds it and passes its events
to the connection's calls; `connection_output` writes what libnghttp2 has to send.

Invariants: no request byte is stored before its limit was checked; a flood of frames ends the connection; every call
learns exactly once that its client has left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import ngh2
from ngh2 import ConnectionClosed, DataReceived, RequestReceived, StreamClosed

from stoker.errors import ServerStopping
from stoker.frontend.budget import ByteBudget, Share
from stoker.frontend.connections import Connections
from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.connection_output import ENHANCE_YOUR_CALM, NO_ERROR, WRITE_BYTES, ConnectionOutput
from stoker.frontend.grpc.engine import Setup
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.request_head import (
    HEADER_OVERHEAD_BYTES,
    RESPONSE_HEADERS,
    Headers,
    RequestHead,
    is_grpc,
    parse_head,
    status_trailers,
)
from stoker.frontend.grpc.status import RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED, Status
from stoker.frontend.grpc.stream_call import StreamCall
from stoker.frontend.lingering import Lingering
from stoker.frontend.sockets import avoid_pacing, peer_of
from stoker.frontend.transfers import LARGE_BYTES

log = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW = (1 << 31) - 1
_HARD_HEADER_FACTOR = 8
"""A header list larger than this multiple of the limit closes the connection before it is fully decoded."""
_FRAME_BYTES = 16 << 10
"""Largest frame that a client may send."""
_CONTINUATIONS, _OUTBOUND_ACKS, _GLITCHES, _GLITCHES_PER_SECOND = 8, 1_000, 10_000, 330
"""Defaults of libnghttp2: frames of a header list, acknowledgements in its queue, odd frames."""
_EXPIRED = Status(UNAVAILABLE, "The connection has reached its maximum age.")
_LAST_READ_S = 1.0
"""Time for a client to read how its calls ended at that age."""
_GOAWAY_PAUSE_S = 1.0
"""Longest time between the two GOAWAY frames of a shutdown: calls that the client sends before it sees the first are
served.  The second goes out as soon as the client acknowledges the PING after the first."""

_MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE, _MAX_HEADER_LIST_SIZE = 3, 4, 6


def configuration(limits: Limits) -> ngh2.Configuration:
    """Raises libnghttp2's own limits where they are below ours."""
    header_bytes = _HARD_HEADER_FACTOR * limits.header_bytes
    burst, per_second = limits.control_frame_burst, limits.control_frames_per_second
    return ngh2.Configuration(
        auto_window_update=False,
        stream_reset_rate_limit=(limits.reset_burst, limits.resets_per_second),
        max_continuations=limits.continuations or max(_CONTINUATIONS, header_bytes // _FRAME_BYTES),
        max_outbound_ack=max(_OUTBOUND_ACKS, burst),
        glitch_rate_limit=(max(_GLITCHES, burst), max(_GLITCHES_PER_SECOND, per_second)),
        max_inbound_header_list_size=header_bytes,
        max_inbound_header_count=header_bytes // HEADER_OVERHEAD_BYTES,
        max_send_header_block_length=64 << 10,
    )


class Host(Protocol):
    """Interface of the engine (`engine_nghttp2`) for its connections. ``methods``: by path."""

    setup: Setup

    @property
    def methods(self) -> Mapping[bytes, Method]: ...

    configuration: ngh2.Configuration
    connections: Connections[Connection]

    def opened(self, connection: Connection) -> bool:
        """Counts a new connection. False: there are too many."""
        ...


class Connection(ConnectionOutput):
    __slots__ = (
        "_budgets",
        "_draining",
        "_filter",
        "_head",
        "_headers",
        "_lingering",
        "_method",
        "_methods",
        "_opening",
        "_refusal",
        "_refused",
        "_request_budget",
        "_settings_received",
        "_timer",
        "listener",
        "max_message_bytes",
        "open_calls",
        "quiet_since",
    )

    def __init__(self, listener: Host) -> None:
        setup = listener.setup
        super().__init__(setup, ngh2.Connection(ngh2.Role.SERVER, listener.configuration))
        self.listener = listener
        self.open_calls = setup.open_calls
        self._budgets = setup.budgets
        self._request_budget: ByteBudget | None = None
        self.max_message_bytes = setup.max_message_bytes
        self.quiet_since = self.now
        self._headers: Headers = ()
        self._head = parse_head(())
        self._method: Method | None = None
        self._refusal: Headers | None = None
        self._methods = listener.methods
        self._opening = b""  # what has come of the preface
        self._filter: Callable[[bytes], bytes] | None = self._expect_preface  # takes input first, if there is one
        self._lingering: Lingering | None = None
        self._settings_received = False
        self._refused: dict[int, Headers] = {}  # by stream, until the client has sent something
        self._draining = False
        self._timer: asyncio.TimerHandle | None = None  # of its age, then of its grace

    # --------------------------------------------------------------------------------------- the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is one
        super().connection_made(transport)
        self.peer = peer_of(transport)
        avoid_pacing(transport)
        if not self.listener.opened(self):
            transport.abort()
            return
        limits = self.limits
        self.http2.initiate_connection(
            {
                _MAX_CONCURRENT_STREAMS: limits.calls,
                _INITIAL_WINDOW_SIZE: limits.stream_window,
                _MAX_HEADER_LIST_SIZE: limits.header_bytes,
            }
        )
        self.http2.set_local_window_size(_WINDOW)

    def data_received(self, data: bytes) -> None:
        if self._filter is not None:
            data = self._filter(data)
            if not data:
                return
        self.now = time.monotonic()
        if len(data) >= LARGE_BYTES:
            self._reading.received(len(data))
        self._turn.run(self._receive, data)

    def _expect_preface(self, data: bytes) -> bytes:
        """Holds the first bytes until HTTP/2's preface is complete; refuses other protocols."""
        data = self._opening + data
        if data.startswith(PREFACE):
            self._filter, self._opening = None, b""
            return data
        self._opening = data[: len(PREFACE)]
        if not PREFACE.startswith(data):
            self._refuse_protocol(data)
        return b""

    def _refuse_protocol(self, data: bytes) -> None:
        assert self._transport is not None
        if data[:1].isalpha():
            text = f"This port speaks gRPC (HTTP/2). {self.listener.setup.other_port_hint}".rstrip().encode() + b"\n"
            head = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: "
            self._transport.write(b"%b%d\r\n\r\n%b" % (head.encode(), len(text), text))
        self._leave(self._transport)

    def _leave(self, transport: asyncio.Transport) -> None:
        """Closes once the client has; answers may still be on their way to it."""
        if self._lingering is None and not transport.is_closing():
            self._lingering = Lingering(transport, transport.close)
            self._filter = self._discard
            self._lingering.begin()

    def _discard(self, data: bytes) -> bytes:
        if self._lingering is not None:
            self._lingering.discard(len(data))
        return b""

    def _receive(self, data: bytes) -> None:
        try:
            self.http2.receive_data(data)
        except ngh2.NGH2Error as error:
            self._abort(str(error))
            return
        idle_frames = 0
        pieces: list[bytes] = []
        events = self.http2.events()
        for number, event in enumerate(events, 1):
            if type(event) is DataReceived:
                data, id, end = event.data, event.stream_id, event.end_stream
                idle_frames += not data
                if not end and number < len(events) and _is_data_of(events[number], id):
                    pieces.append(data)
                    continue
                if pieces:
                    data, pieces = b"".join((*pieces, data)), []
                call = self.calls.get(id)
                if call is not None:
                    call.receive(data, end=end)
                else:
                    self._receive_without_call(id, data, end=end)
            elif type(event) is RequestReceived:
                self._flood.requests += 1
                self._begin(event)
            elif type(event) is StreamClosed:
                self._stream_closed(event.stream_id)
            else:
                idle_frames += 1
                self._handle_other_event(event)
        if idle_frames and not self._flood.allows(idle_frames, self.now):
            self._abort("too many frames that carry nothing", ENHANCE_YOUR_CALM)
        elif self._final_goaway or self._unread or self.http2.want_write:
            self.plan_flush()

    def _receive_without_call(self, id: int, data: bytes, *, end: bool) -> None:
        """Receives data of a request that is held, refused or already answered."""
        if not (self._held and self._held.receive(id, data, end=end)):
            self.return_window(id, len(data))
            self._answer_refused(id)

    def _handle_other_event(self, event: object) -> None:
        """Handles an event without data, which may still end the request. The first one is the client's SETTINGS."""
        self._settings_received = True
        if isinstance(event, ConnectionClosed):
            self._draining = self._final_goaway = True  # the client sent GOAWAY, and nothing is open
        elif isinstance(event, ngh2.PingAcknowledged):
            if self._draining:
                self._send_final_goaway()
        elif isinstance(event, ngh2.TrailersReceived):
            if event.stream_id in self.calls:
                self.calls[event.stream_id].receive(b"", end=True)
            else:
                self._receive_without_call(event.stream_id, b"", end=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        self._transport = self._filter = self._lingering = None
        self._waiting.clear()
        for call in self._sliced.values():
            call.drop_backlog()
        self._sliced.clear()
        calls, self.calls = self.calls, {}
        self._count_unread(0, None)
        if self._timer is not None:
            self._timer.cancel()  # it holds this connection
        for call in calls.values():
            call.cancelled()
        self.listener.connections.discard(self)

    # ------------------------------------------------------------------------------------------- its calls

    def _begin(self, event: RequestReceived) -> None:
        id = event.stream_id
        if self._overfull:
            self._held.add(event)
            return
        if event.headers != self._headers:  # most calls of a connection have the same headers
            self._headers, self._head = event.headers, parse_head(event.headers)
            self._method = self._methods.get(self._head.path)
            self._refusal = self._refusal_of(self._head)
        method = self._method
        if self._refusal is not None or method is None:
            self._refuse(id, self._refusal or (), complete=event.end_stream)
            return
        head, now = self._head, self.now
        call = self.calls[id] = StreamCall(
            tracker=self.open_calls,
            work=method.handle,
            label=method.label,
            peer=self.peer,
            started_at=now,
            deadline=None if head.timeout_s is None else now + head.timeout_s,
            while_draining=method.while_draining,
            method=method,
            metadata=head.metadata,
            encode=method.encode,
            connection=self,
            id=id,
            head=head,
            headers=head.answer_headers,
        )
        if not method.one_request:
            call.begin_stream()
        if event.end_stream:
            call.receive(b"", end=True)

    def _refusal_of(self, head: RequestHead) -> Headers | None:
        if head.verb != b"POST":
            return ((b":status", b"405"), (b"allow", b"POST"))
        if not is_grpc(head.content_type):
            return ((b":status", b"415"),)
        limit = self.limits.header_bytes
        if head.size > limit:
            status = Status(RESOURCE_EXHAUSTED, f"The metadata is larger than {limit} bytes.")
            return (*RESPONSE_HEADERS, *status_trailers(status))
        if head.path not in self._methods:
            status = Status(UNIMPLEMENTED, f"Method not found: {head.path[:200].decode('latin-1')}")
            return (*RESPONSE_HEADERS, *status_trailers(status))
        return None

    def _refuse(self, id: int, headers: Headers, *, complete: bool) -> None:
        """Refuses once the client has sent data or ended: some clients lose a status that arrives before that."""
        if complete:
            self._send_refusal(id, headers)
        else:
            self._refused[id] = headers

    def _answer_refused(self, id: int) -> None:
        headers = self._refused.pop(id, None)
        if headers is not None:
            self._send_refusal(id, headers)
            self.reset_after(id)

    def _send_refusal(self, id: int, headers: Headers) -> None:
        try:
            self.http2.send_response(id, headers, end_stream=True)
        except ngh2.StreamProtocolError:
            pass  # the client reset the stream in the same read: a StreamClosed event follows

    def share(self) -> Share:
        """Makes one message's share of the request budgets: the server's and this connection's."""
        budget = self._budgets.unparsed
        if self._request_budget is None:
            self._request_budget = budget.of_connection()
        return Share(budget, self._request_budget)

    def _stream_closed(self, id: int) -> None:
        if self._to_reset:
            self._to_reset.discard(id)
        if self._refused:
            self._refused.pop(id, None)
        if self._held:
            self._held.take(id)
        if self._sliced and (sliced := self._sliced.pop(id, None)) is not None:
            sliced.drop_backlog()
        call = self.calls.pop(id, None)
        if call is not None and not call.ended:
            call.cancelled()
        if not self.calls:
            self.quiet_since = self.now
            if self._draining:
                self.plan_flush()

    def _begin_held(self, transport: asyncio.Transport) -> None:
        while self._unread_now(transport) <= self.limits.unread_bytes and (held := self._held.take()) is not None:
            head, pieces = held
            self._begin(head)
            for data, end in pieces:
                if head.stream_id in self.calls:
                    self.calls[head.stream_id].receive(data, end=end)
                else:
                    self._receive_without_call(head.stream_id, data, end=end)

    # ----------------------------------------------------------------------------------------- time limits

    def check_timeouts(self, now: float) -> None:
        """Ends whatever takes too long. Called every few seconds."""
        limits = self.limits
        late = now - self.opened_at > limits.first_s and self._lingering is None
        if late and not self._settings_received:
            self._abort("no HTTP/2 SETTINGS frame arrived")
            return
        quiet_s = limits.idle_s if self._headers else limits.first_s  # without headers, no call has come yet
        if not (self.calls or self._draining) and now - self.quiet_since > quiet_s:
            self.shutdown()
        for id in list(self._refused):
            self._answer_refused(id)
            self.plan_flush()
        for call in list(self.calls.values()):
            if call.is_late(now, self._budgets, limits.slow_s):
                call.give_up_request()
                self.plan_flush()
        transport = self._transport
        if transport is not None and (self._unread or transport.is_closing()):
            self._check_stalls(transport, now)

    # -------------------------------------------------------------------------------------------- the end

    def shutdown(self, grace_s: float | None = None) -> None:
        """Asks the client to send new calls elsewhere; closes once the open ones have ended, or after ``grace_s``.

        A second call no longer waits for calls in transit.
        """
        if self._transport is None or self._lingering is not None:
            return
        if self._draining:
            self._send_final_goaway()
            return
        self._draining = True
        try:
            self.http2.send_shutdown_notice()
            self._transport.write(self.http2.data_to_send(WRITE_BYTES))  # a PING would overtake it
            self.http2.ping()  # its acknowledgement comes after all calls that cross the notice
        except ngh2.NGH2Error:
            self._transport.close()  # already closing
            return
        self.plan_flush()
        loop = asyncio.get_running_loop()
        loop.call_later(_GOAWAY_PAUSE_S, self._send_final_goaway)
        if grace_s is not None:
            self._timer = loop.call_later(grace_s, self._end_grace)

    def shutdown_after(self, age_s: float, grace_s: float | None) -> None:
        self._timer = asyncio.get_running_loop().call_later(age_s, self.shutdown, grace_s)

    def _end_grace(self) -> None:
        """Ends the calls that are still open, and closes once the client has read that, or soon."""
        self._send_final_goaway()
        for call in list(self.calls.values()):
            call.end_early(_EXPIRED)
        self._timer = asyncio.get_running_loop().call_later(_LAST_READ_S, self.give_up)

    def refuse_open_calls(self) -> None:
        """Refuses the calls that a drain does not wait for: health watches, and those with incomplete requests."""
        for call in list(self.calls.values()):
            call.abandon(ServerStopping())

    def _send_final_goaway(self) -> None:
        """Sends the second GOAWAY, which names the last call; the connection closes once all are answered."""
        if self._transport is None or self._final_goaway:
            return
        self._final_goaway = True
        for id in list(self._refused):  # the connection does not stay for them
            self._answer_refused(id)
        try:
            self.http2.send_goaway(NO_ERROR)
        except ngh2.NGH2Error:
            self._transport.close()
        self.plan_flush()


def _is_data_of(event: object, id: int) -> bool:
    """Tells whether the event is data of stream ``id``, to be handled together with the piece before it."""
    return isinstance(event, DataReceived) and event.stream_id == id
