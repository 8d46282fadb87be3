"""`AsyncService`: a `Service` whose handler is a coroutine function. Users import it from `ts.async_service`.

The worker itself does not use it (`worker.asynchronous`); users' unit tests do.
"""

from __future__ import annotations

import asyncio
import copy
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.worker import calling, classic
from stoker.worker.service import Service

__all__ = ["AsyncService"]


class AsyncService:
    """Each message's requests are one call of the handler; calls run at the same time."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def predict(self, batch: Sequence[Mapping[str, Any]]) -> bytes | bytearray:
        """Returns the reply to all requests of the batch; whatever the handler does, there is one."""
        context = copy.copy(self.service.context)
        context.metrics = copy.copy(context.metrics)
        rows = self.service.begin(batch, context)
        started = time.perf_counter()
        try:
            outputs = calling.checked(await self.service.entry_point(rows, context), len(rows))
        except Exception as error:
            outputs = calling.failure_of(error)
        return self.service.reply(outputs, context, started)

    def run(self) -> str:
        """Answers what comes over the service's socket, until it ends; returns why."""
        return asyncio.get_event_loop().run_until_complete(self._serve())

    async def _serve(self) -> str:
        socket, calls = self.service.context.cl_socket, set[asyncio.Task[None]]()
        try:
            while True:
                command, batch = await asyncio.to_thread(classic.retrieve_msg, socket)
                if command == classic.PREDICT_MSG:
                    call = asyncio.create_task(self._answer(socket, batch))
                    calls.add(call)
                    call.add_done_callback(calls.discard)
        except Exception:
            return traceback.format_exc()
        finally:
            await asyncio.gather(*calls, return_exceptions=True)

    async def _answer(self, socket: Any, batch: Sequence[Mapping[str, Any]]) -> None:
        socket.sendall(await self.predict(batch))
