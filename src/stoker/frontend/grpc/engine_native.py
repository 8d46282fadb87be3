"""Engine ``native``: HTTP/2 and gRPC in Rust, outside the GIL (pygrpc-native's event API).

One thread waits for events and hands them to the event loop, as many at once as there are; no task is made for a call,
and answers leave straight from the loop.  What the event API does not serve (client streaming, unknown methods) or not
well (dense streams: it carries one message at a time) it forwards to `http2`, on a private Unix socket.

What this engine cannot refuse, and why it is for trusted networks only: a message is wholly in memory, and unpacked if
it was compressed, before its size can be looked at.  It is then answered RESOURCE_EXHAUSTED and freed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any

from pygrpc_native._native import EVENT_CANCEL, STREAM_CLOSED, STREAM_FULL, STREAM_SENT, NativeGrpcFront

from stoker.core.turn import current_turn
from stoker.errors import BindError
from stoker.frontend.grpc.call import Call, Kind, Method, Trailing
from stoker.frontend.grpc.engine import MAX_CONCURRENT_STREAMS, MAX_METADATA_BYTES, target
from stoker.frontend.grpc.http2.connection import Service
from stoker.frontend.grpc.http2.listener import Http2Listener
from stoker.frontend.grpc.reflection import reflection_answers
from stoker.frontend.grpc.retries import Retries
from stoker.frontend.grpc.status import Status
from stoker.frontend.open_exchanges import OpenExchanges

EVENTS_AT_ONCE = 256

YIELDS = 4
"""How often a message is offered again at once. The native queue of a stream holds one message and is emptied within
microseconds while the client reads; a dense stream is five times faster for this than by way of the event loop."""


def _forwarded_service(methods: Sequence[Method], open_calls: OpenExchanges, max_message_bytes: int) -> Service:
    return Service(
        methods={method.path: method for method in methods if method.dense},
        dialogues=reflection_answers(sorted({method.service for method in methods})),
        open_calls=open_calls,
        max_message_bytes=max_message_bytes,
    )


class NativeEngine:
    def __init__(
        self, *, host: str, port: int, methods: Sequence[Method], open_calls: OpenExchanges, max_message_bytes: int
    ) -> None:
        self._host = host
        self._port = port
        self._methods = [method for method in methods if not method.dense]
        self._forwarded = Http2Listener(_forwarded_service(methods, open_calls, max_message_bytes))
        self.open_calls = open_calls
        self.calls: dict[int, NativeCall] = {}
        self.retries = Retries()
        self._front: NativeGrpcFront | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> int:
        front = self._front = self._bind()
        front.set_fallback(await self._forwarded.start())
        front.start()
        loop = asyncio.get_running_loop()
        self._turn = current_turn()
        self._thread = threading.Thread(target=self._receive, args=(front, loop), name="grpc-events", daemon=True)
        self._thread.start()
        return front.bound_port

    async def stop(self) -> None:
        front, self._front = self._front, None
        self.retries.close()
        if front is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._close, front)
        await self._forwarded.stop()

    def _bind(self) -> NativeGrpcFront:
        address = target(self._host, self._port)
        try:
            return NativeGrpcFront(
                address,
                [(method.path, method.kind is Kind.STREAM) for method in self._methods],
                call_details=True,
                delay_stream_headers=True,
                keepalive_permit_without_calls=False,
                max_concurrent_streams=MAX_CONCURRENT_STREAMS,
                max_metadata_size=MAX_METADATA_BYTES,
                reuse_port=False,  # a port in use must be an error
            )
        except OSError as error:
            raise BindError(address=address, reason=error.strerror or "cannot bind") from None

    def _close(self, front: NativeGrpcFront) -> None:
        front.close()
        if self._thread is not None:
            self._thread.join()

    # ---------------------------------------------------------------------------------------- events

    def _receive(self, front: NativeGrpcFront, loop: asyncio.AbstractEventLoop) -> None:
        """The thread. It ends when the front is closed, or with the loop."""
        while (events := front.recv_batch_details(EVENTS_AT_ONCE)) is not None:
            try:
                loop.call_soon_threadsafe(self._deliver, front, events)
            except RuntimeError:
                front.close()
                return

    def _deliver(self, front: NativeGrpcFront, events: list[Any]) -> None:
        open_calls, methods = self.open_calls, self._methods
        with self._turn:
            for kind, call_id, method_id, payload, _, details in events:
                if kind == EVENT_CANCEL:
                    call = self.calls.get(call_id)
                    if call is not None:
                        call.cancelled()
                    continue
                call = self.calls[call_id] = NativeCall(self, front, methods[method_id], call_id, payload, details)
                open_calls.begin(call)


class NativeCall(Call):
    """``turns``: how often the message that is stuck was tried again (`Retries`)."""

    __slots__ = ("_engine", "_finishing", "_front", "_stuck", "turns")

    def __init__(
        self,
        engine: NativeEngine,
        front: NativeGrpcFront,
        method: Method,
        key: int,
        payload: bytes,
        details: tuple[Any, str, float | None],
    ) -> None:
        super().__init__(engine.open_calls, method, key, payload, *details)
        self._engine = engine
        self._front = front
        self._stuck: bytes | None = None
        self._finishing: Trailing | None = None
        self.turns = 0

    def _answer(self, payload: bytes, trailing: Trailing) -> None:
        try:
            self._front.respond(self.key, payload, None, trailing or None)
        except (TypeError, ValueError) as error:  # an answer that the front does not take would never end
            self._refuse(self.method.status_of(error))

    def _write(self, payload: bytes) -> bool:
        sent = self._front.stream_try_send(self.key, payload)
        for _ in range(YIELDS):
            if sent != STREAM_FULL:
                break
            os.sched_yield()  # to the threads that empty the queue
            sent = self._front.stream_try_send(self.key, payload)
        if sent == STREAM_FULL:
            self._stuck = payload
            self._engine.retries.add(self)
        elif sent == STREAM_CLOSED:
            self.cancelled()
        return sent == STREAM_SENT

    def retry(self) -> bool:
        payload = self._stuck
        if payload is None:
            return True
        sent = self._front.stream_try_send(self.key, payload)
        if sent == STREAM_FULL:
            return False
        self._stuck = None
        if sent == STREAM_CLOSED:
            self.cancelled()
        elif self._finishing is not None:
            self._finish(self._finishing)
        else:
            self.became_writable()
        return True

    def _finish(self, trailing: Trailing) -> None:
        if self._stuck is None:
            self._front.stream_end(self.key, trailing or None)
        else:
            self._finishing = trailing

    def _refuse(self, status: Status) -> None:
        self._stuck = None
        self._front.fail(self.key, status.code, status.details)

    def cancelled(self) -> None:
        self._stuck = None
        super().cancelled()

    def _end(self, status: int) -> bool:
        self._engine.calls.pop(self.key, None)
        return super()._end(status)
