"""Handles clients that disconnect: while they send a body, or while work for them runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from stoker.errors import Cancelled

T = TypeVar("T")


async def whole_body(request: Request) -> bytes:
    """Returns the whole body. Raises Cancelled: the client left before it had sent everything."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise Cancelled from None


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Returns the result of ``work``; cancels it when the client leaves. Raises Cancelled, and what ``work`` raises."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Cancelled
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
