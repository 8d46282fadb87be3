"""Loads the handler for a peer's server script.

Runs in the peer's own venv, in the process that the peer uses as its worker.  Needs only the standard library and
`handler_host`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

TASK: dict[str, Any] = json.loads(Path(os.environ["STOKER_PEER_TASK"]).read_text())
"""The task, written by `peer.run_in_venv`."""


def load() -> Any:
    """Returns the initialised handler: ``answers(rows)`` and ``stream(row)``, see `handler_host`."""
    from stoker.bench import handler_host

    return handler_host.load(
        TASK["handler_file"],
        TASK["handler_class"],
        TASK["folder"],
        manifest=TASK["manifest"],
        config=TASK["config"],
    )


def line(part: bytes) -> str:
    """Encodes a part as a JSON string on a line: HTTP has no messages, and a text may contain line breaks."""
    return json.dumps(part.decode()) + "\n"


async def parts(host: Any, payload: bytes, one_at_a_time: asyncio.Lock) -> AsyncIterator[bytes]:
    """Yields the parts of one stream without blocking the event loop. Like every worker here: one stream at a time."""
    async with one_at_a_time:
        stream = host.stream(payload)
        while (part := await asyncio.to_thread(next, stream, None)) is not None:
            yield part
