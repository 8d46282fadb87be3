"""Calls the handler with a request of the archive before the worker is ready, so that no client waits for what happens
once: compilation, loading of kernels, allocation of memory.

Workers that share a folder of compiled code warm up one after the other: the first compiles, the others find it done.
What a handler records meanwhile is dropped, and so are parts that it sends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stoker.core.warm_up import WarmUp
from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import JobHeader
from stoker.worker import calling, rows
from stoker.worker.inbox import Batch
from stoker.worker.loading import LoadedModel
from stoker.worker.metrics_export import export
from stoker.worker.streaming import Channel
from stoker.worker.tensors import TensorCodec

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_TYPES = {".json": "application/json", ".txt": "text/plain"}


def warm_up(
    wanted: WarmUp, model: LoadedModel, model_dir: str, *, batch_size: int, decode: bool, tensors: TensorCodec
) -> None:
    """Raises RuntimeError: there is no such file, or the handler does not answer it."""
    request = Path(model_dir, wanted.request)
    if not request.is_file():
        raise RuntimeError(f"warmUp names {wanted.request}, which the archive does not have")
    data, content_type = request.read_bytes(), _TYPES.get(request.suffix.lower(), "")
    started = time.monotonic()
    with _one_at_a_time(), _without_metrics():
        for size in wanted.sizes(batch_size):
            _call(model, wanted.request, _rows(model, data, content_type, size, decode=decode, tensors=tensors))
    sizes = ", ".join(map(str, wanted.sizes(batch_size)))
    print(f"Warm-up with {wanted.request}, batches of {sizes}: {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201 - the model's log


def _rows(
    model: LoadedModel, data: bytes, content_type: str, size: int, *, decode: bool, tensors: TensorCodec
) -> list[dict[str, Any]]:
    """Makes the rows, and points the context at them."""
    jobs = [JobHeader(f"warm-up-{n}", [("data", content_type, len(data))], {}, None) for n in range(size)]
    batch = Batch(0, jobs, memoryview(data * size), len(data) * size)
    made = rows.begin(batch, 0.0, decode=decode, tensors=tensors)
    context = model.context
    context.request_ids, context.request_processor = batch.request_ids, batch.processors
    context.cl_socket = _NoClient()
    if context.metrics is not None:
        context.metrics.set_request_ids(batch.request_ids)
    return made


def _call(model: LoadedModel, name: str, data: list[dict[str, Any]]) -> None:
    try:
        outcome = calling.checked(model.entry_point(data, model.context), len(data))
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # such as `asyncio.CancelledError` and SystemExit
        raise RuntimeError(f"the warm-up with {name} failed: {type(error).__name__}: {error}") from error
    if isinstance(outcome, Failure):
        raise RuntimeError(f"the warm-up with {name} failed: {outcome.message}")


class _NoClient(Channel):
    """Drops the parts of an answer: there is no client."""

    def is_cancelled(self, row: int) -> bool:
        return False

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        pass


@contextlib.contextmanager
def _without_metrics() -> Iterator[None]:
    export.muted = True
    try:
        yield
    finally:
        export.muted = False


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if folder := os.environ.get(CACHE_VARIABLE):
            with contextlib.suppress(OSError):  # there can be no such folder, or its file system has no locks
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
