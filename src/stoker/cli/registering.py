"""Shows the state of a model's workers while the command waits for its registration."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import stoker.client
from stoker.cli import progress
from stoker.cli.connecting import Connection

_POLL_S = 1.0
_QUERY_TIMEOUT_S = 2.0


@contextmanager
def watched(connection: Connection, text: str, *, model: str, version: str | None = None) -> Iterator[None]:
    """Shows progress, on a terminal only, with the state of the model's workers as far as the server tells it."""
    if not progress.shown(quiet=connection.quiet):
        yield
        return
    over = threading.Event()
    with progress.spinner(text) as set_text:
        watcher = threading.Thread(
            target=_watch, args=(connection, text, model, version, set_text, over), name="watch-model", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(_QUERY_TIMEOUT_S)


def _watch(
    connection: Connection,
    text: str,
    model: str,
    version: str | None,
    set_text: progress.SetText,
    over: threading.Event,
) -> None:
    with stoker.client.Client(connection.endpoint) as client:
        while not over.wait(_POLL_S):
            try:
                found = client.describe(model, version=version, timeout=_QUERY_TIMEOUT_S)
            except stoker.client.CallError as error:
                if error.code.name == "NOT_FOUND":
                    set_text(f"{text}: the server reads the archive")
                continue
            set_text(f"{text}: {state(found)}")


def state(described: Sequence[Mapping[str, Any]]) -> str:
    """Describes the state of the last version. TorchServe calls a loading worker UNLOADING, so only READY counts."""
    workers = described[-1].get("workers", []) if described else []
    ready = sum(worker.get("status") == "READY" for worker in workers)
    return f"{ready} of {len(workers)} workers ready" if workers else "no worker yet"
