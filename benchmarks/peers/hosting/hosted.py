"""What every peer's server script begins with: which handler to run, and the handler, ready to run.

Runs in the peer's own venv, in the process that the peer takes for its worker. Standard library, and `handler_host`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

TASK: dict[str, Any] = json.loads(Path(os.environ["STOKER_PEER_TASK"]).read_text())
"""What `peer.run_in_venv` wrote."""


def load() -> Any:
    """The handler, initialised: ``answers(rows)`` and ``stream(row)``, see `handler_host`."""
    from stoker.bench import handler_host

    return handler_host.load(
        TASK["handler_file"],
        TASK["handler_class"],
        TASK["folder"],
        manifest=TASK["manifest"],
        config=TASK["config"],
    )


def line(part: bytes) -> str:
    """A part of a stream as a JSON string on a line: HTTP has no messages, and a text may hold line breaks."""
    return json.dumps(part.decode()) + "\n"


async def parts(host: Any, payload: bytes, one_at_a_time: asyncio.Lock) -> AsyncIterator[bytes]:
    """The parts of one stream; the event loop is free between them. Like every worker here: one stream at a time."""
    async with one_at_a_time:
        stream = host.stream(payload)
        while (part := await asyncio.to_thread(next, stream, None)) is not None:
            yield part
