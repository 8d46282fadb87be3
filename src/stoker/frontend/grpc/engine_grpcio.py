"""Engine ``grpcio``: `grpc.aio` with identity serialisers. The fallback where ngh2 is missing or unwanted.

It refuses messages over the limit before they are read, and all compressed ones (UNIMPLEMENTED), so that no compression
bomb is ever expanded.  grpc.aio makes a coroutine for each call, which waits here for the method's answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from msgspec import field

from stoker.errors import BindError
from stoker.frontend import sockets
from stoker.frontend.budget import UnreadAnswers
from stoker.frontend.grpc.call import ROOM_BYTES, Call, Method, Trailing
from stoker.frontend.grpc.credentials import server_credentials
from stoker.frontend.grpc.engine import Setup
from stoker.frontend.grpc.messages import Message
from stoker.frontend.grpc.status import RESOURCE_EXHAUSTED, Status

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioEngine:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._server: grpc.aio.Server | None = None
        self._running: set[asyncio.Future[Any]] = set()  # calls whose client has not taken the whole answer
        self._remove: Callable[[], None] = lambda: None  # removes the Unix socket's file

    async def start(self) -> int:
        server = grpc.aio.server(options=server_options(self._setup))
        server.add_generic_rpc_handlers(tuple(self._handlers()))
        try:
            port = self._listen(server)
        except (RuntimeError, OSError) as error:
            await server.stop(None)
            reason = getattr(error, "strerror", None) or "the address is in use, or does not belong to this machine"
            raise BindError(address=self._setup.target, reason=reason) from None
        await server.start()
        self._server = server
        return port

    def _listen(self, server: grpc.aio.Server) -> int:
        if not self._setup.host.startswith("unix:"):
            return self._bind(server, self._setup.target)
        path = Path(self._setup.host.removeprefix("unix:"))
        self._remove = sockets.put_in_place(path, lambda new: self._bind(server, f"unix:{new}"))
        return 0

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        if self._setup.tls is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, server_credentials(self._setup.tls)))

    def start_draining(self) -> None:
        pass  # gRPC's core could only stop listening, and health checks must continue

    async def flush(self, grace_s: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)
        self._remove()

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        services: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
        for method in self._setup.methods:
            services.setdefault(method.service, {})[method.name] = self._handler(method)
        return [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items()]

    def _handler(self, method: Method) -> grpc.RpcMethodHandler:
        """Handles a unary method as a stream of one answer: only a stream shows when the client has taken it."""

        async def handle(request: bytes, context: Any) -> None:
            await self._run(self._call(method, request, context).run(context))

        async def converse(requests: AsyncIterator[bytes], context: Any) -> None:
            await self._run(self._call(method, b"", context).converse(requests, context))

        if method.one_request:
            return grpc.unary_stream_rpc_method_handler(handle)
        return grpc.stream_stream_rpc_method_handler(converse)

    async def _run(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await call
        finally:
            self._running.discard(task)

    def _call(self, method: Method, request: bytes, context: Any) -> _GrpcioCall:
        now, remaining = time.monotonic(), context.time_remaining()
        return _GrpcioCall(
            tracker=self._setup.open_calls,
            work=method.handle,
            label=method.label,
            peer=readable_peer(context.peer()),
            started_at=now,
            deadline=None if remaining is None else now + remaining,
            request=request,
            while_draining=method.while_draining,
            method=method,
            metadata=context.invocation_metadata() or (),
            encode=method.encode,
            unread=self._setup.budgets.unread,
        )


def server_options(setup: Setup) -> list[tuple[str, int]]:
    names = ("grpc.max_connection_age_ms", "grpc.max_connection_age_grace_ms")
    given = zip(names, setup.connection_age, strict=True)
    ages = [(name, round(value * 1000)) for name, value in given if value is not None]
    return [
        *ages,
        ("grpc.so_reuseport", 0),  # a port in use must be an error
        ("grpc.max_receive_message_length", setup.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", setup.limits.calls),
        ("grpc.max_metadata_size", setup.limits.header_bytes),
        ("grpc.absolute_max_metadata_size", setup.limits.header_bytes),
        ("grpc.compression_enabled_algorithms_bitset", 1),  # identity only
    ]


class _GrpcioCall(Call, kw_only=True):
    """Queues answers between the method and the coroutine, which writes them as fast as the client reads.

    ``unread``: the budget for what clients have not read, which counts the call's answer of ``_held`` bytes.
    """

    unread: UnreadAnswers
    _held: int = 0
    _status: Status | None = None
    _initial: Trailing = ()
    _trailing: Trailing = ()
    _resumed: asyncio.Future[None] | None = None
    _queue: deque[bytes] = field(default_factory=deque)
    _queued_bytes: int = 0
    _changed: asyncio.Future[None] | None = None
    _dropped: bool = False

    async def run(self, context: Any) -> None:
        self.tracker.begin(self)
        try:
            await self._write_all(context)
        except asyncio.CancelledError:
            raise
        except Exception:  # the client has left: a write fails before the cancellation arrives
            raise asyncio.CancelledError from None
        finally:
            self.cancelled()
            if self._held:
                self.unread.give(self._held)
        if self._status is not None:
            await context.abort(_CODES[self._status.code], self._status.details)
        if self._trailing:
            context.set_trailing_metadata(tuple(self._trailing))

    async def converse(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Runs the call, and passes on the client's messages meanwhile."""
        reader = asyncio.ensure_future(self._read_all(requests))
        try:
            await self.run(context)
        finally:
            reader.cancel()

    async def _read_all(self, requests: AsyncIterator[bytes]) -> None:
        await asyncio.sleep(0)  # until the method has started
        async for message in requests:
            self.message(message)
            if not self.reading:
                self._resumed = asyncio.get_running_loop().create_future()
                await self._resumed
        self.half_closed()

    def _read_on(self) -> None:
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    def send_initial_metadata(self, metadata: Trailing) -> None:
        self._initial = metadata

    async def _write_all(self, context: Any) -> None:
        while True:
            while self._queue and not self._dropped:
                await self._write_one(context)
            if self.ended:
                return
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    async def _write_one(self, context: Any) -> None:
        message = self._queue.popleft()
        if self._initial:
            await context.send_initial_metadata(tuple(self._initial))
            self._initial = ()
        await context.write(message)
        self._queued_bytes -= len(message)
        if not self.writable and self._queued_bytes < ROOM_BYTES:
            self.became_writable()

    def _answer(self, message: Message, trailing: Trailing) -> None:
        """Sends the only answer; refuses a large one while too much is unread, because grpcio cannot drop it later."""
        if len(message) > ROOM_BYTES:
            if not self.unread.hold(len(message)):
                self._refuse(Status(RESOURCE_EXHAUSTED, "Too many answers of this server are unread."))
                return
            self._held = len(message)
        self._write((message,))
        self._finish(trailing)

    def _write(self, messages: Sequence[Message]) -> bool:
        self._queue.extend(map(bytes, messages))
        self._queued_bytes += sum(map(len, messages))
        self._wake()
        return self._queued_bytes < ROOM_BYTES

    def _finish(self, trailing: Trailing) -> None:
        self._trailing = trailing
        self._wake()

    def _refuse(self, status: Status) -> None:
        self._status = status
        self._dropped = not self.writable
        if self._dropped:
            self._queue.clear()
        self._wake()  # the status follows the write in progress, when the client reads or leaves

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


@lru_cache(maxsize=1024)
def readable_peer(peer: str) -> str:
    """Shows ``ipv4:127.0.0.1:5`` as ``127.0.0.1:5``, ``ipv6:%5B::1%5D:5`` as ``[::1]:5``; Unix sockets as ``unix``."""
    family, _, address = peer.partition(":")
    if family == "unix":
        return "unix"
    return address.replace("%5B", "[").replace("%5D", "]")
