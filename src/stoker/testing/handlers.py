"""Runs a handler in the test's own process: no server, no worker, no socket.

    with load_handler("my_model/", "handler.py") as handler:
        assert handler.predict([b"some request"]) == ["its answer"]

The handler gets what a worker would give it: the same context, rows and headers.  What it raises reaches the test; what
it returns is checked by the rules a worker checks.  A handler whose ``handle`` is ``async def`` needs a worker's event
loop: test it with `stoker.testing.server`.
"""

from __future__ import annotations

import functools
import inspect
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from stoker.core.job import new_request_id
from stoker.errors import InvalidOutput
from stoker.handlers.model_file import import_by_base_name
from stoker.worker import loading, metrics
from stoker.worker.calling import EntryPoint
from stoker.worker.context import Context, RequestProcessor

_INT = struct.Struct(">i")


def make_context(
    model_dir: str | Path,
    *,
    manifest: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    model_name: str = "model",
    batch_size: int = 1,
    gpu_id: int | None = None,
    limit_max_image_pixels: bool = True,
) -> Context:
    """Makes the context that a worker makes for ``model_dir``.

    ``manifest`` (its section ``model``) and ``config`` stand for the files of an archive that is not packed yet.
    """
    context = loading.make_context(
        model_name=model_name,
        model_dir=str(model_dir),
        batch_size=batch_size,
        gpu_id=gpu_id,
        limit_max_image_pixels=limit_max_image_pixels,
        metrics=metrics.new_cache(model_name),
    )
    if manifest is not None:
        context.manifest = {"runtime": "python", "model": {"modelName": model_name, **manifest}}
    if config is not None:
        context.model_yaml_config = dict(config)
    return context


class LoadedHandler:
    """An initialised handler. On exit (``with``, or `close`) the folder's modules are unloaded."""

    def __init__(self, entry_point: EntryPoint, context: Context, undo: Callable[[], None]) -> None:
        self.entry_point = entry_point
        self.context = context
        self.parts: list[list[bytes]] = []
        self._undo = undo
        context.cl_socket = self

    def predict(self, payloads: Sequence[Any], *, headers: Mapping[str, str] | None = None) -> list[Any]:
        """Runs one batch with one request per payload: bytes go under the key ``data``, a dict is the row itself.

        Intermediate parts of a streaming handler are in `parts` afterwards, one entry per request each.

        Raises:
            InvalidOutput: the answer is not a list with one entry per request.
        """
        self.parts = []
        rows = [_row(payload) for payload in payloads]
        self.context.request_ids = {index: new_request_id() for index in range(len(rows))}
        self.context.request_processor = [RequestProcessor(dict(headers or {})) for _ in rows]
        self.context.metrics.set_request_ids(self.context.request_ids)
        return _checked(self.entry_point(rows, self.context), len(rows))

    def sendall(self, reply: bytes | bytearray) -> None:
        """Takes an intermediate part, as a worker of TorchServe would write it."""
        self.parts.append(_bodies(bytes(reply)))

    def close(self) -> None:
        self._undo()

    def __enter__(self) -> LoadedHandler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_handler(
    model_dir: str | Path, handler: str | None = None, *, envelope: str | None = None, **context_options: Any
) -> LoadedHandler:
    """Imports and initialises ``handler``: ``FILE.py``, ``FILE.py:FUNCTION`` or a built-in name. Default: the
    manifest's.

    ``context_options``: as for `make_context`.

    Raises:
        ValueError: no handler is named, or its file has none. What the handler itself raises reaches the caller.
    """
    context = make_context(model_dir, **context_options)
    named = handler or ((context.manifest or {}).get("model") or {}).get("handler")
    if not named:
        raise ValueError("pass the handler: the folder has no manifest that names one")
    folder = str(Path(model_dir).resolve())
    undo = functools.partial(_forget, folder, dict(sys.modules))
    try:
        _import_own_file(Path(folder, named.partition(":")[0]))
        loading.make_importable(folder)
        entry = loading.find_entry(named, envelope)
        entry.initialize(context)
    except BaseException:
        undo()
        raise
    return LoadedHandler(entry.entry_point, context, undo)


def _forget(folder: str, before: Mapping[str, ModuleType]) -> None:
    """Removes the modules of ``folder`` imported since ``before`` from this process."""
    new = {name: module for name, module in sys.modules.items() if before.get(name) is not module}
    for name, module in new.items():
        file = getattr(module, "__file__", None)
        if file and Path(folder) in Path(file).resolve().parents:
            del sys.modules[name]
    if folder in sys.path:
        sys.path.remove(folder)


def _import_own_file(path: Path) -> None:
    """Imports this folder's file: two models of one test run may both have a ``handler.py``."""
    file = path if path.suffix == ".py" else path.with_suffix(".py")
    if file.is_file():
        import_by_base_name(file)


def _row(payload: Any) -> dict[str, Any]:
    if isinstance(payload, dict):
        return {key: _as_sent(value) for key, value in payload.items()}
    return {"data": _as_sent(payload)}


def _as_sent(value: Any) -> Any:
    return bytearray(value) if isinstance(value, bytes | memoryview) else value


def _checked(output: Any, count: int) -> list[Any]:
    if inspect.iscoroutine(output):
        output.close()
        raise InvalidOutput("handle is 'async def': test it with stoker.testing.server.running_server")
    if not isinstance(output, list):
        raise InvalidOutput(f"handle must return a list, not {type(output).__name__}")
    if len(output) != count:
        raise InvalidOutput(f"handle returned {len(output)} entries for {count} requests")
    return output


def _bodies(reply: bytes) -> list[bytes]:
    """Splits a reply: after code and message, each request has id, type, status, phrase, headers and body."""
    position, bodies = 4, []

    def number() -> int:
        nonlocal position
        position += 4
        value: int = _INT.unpack_from(reply, position - 4)[0]
        return value

    def text() -> bytes:
        nonlocal position
        length = number()
        position += length
        return reply[position - length : position]

    text()
    while _INT.unpack_from(reply, position)[0] != -1:
        text(), text(), number(), text()
        for _ in range(number()):
            text(), text()
        bodies.append(text())
    return bodies
