"""Runs one TorchServe handler class without any server: for servers that run no archives, and for a bare loop.

Standard library only and alone in its file, so that every contender's venv can run it (``benchmarks/`` links to it).

    host = handler_host.load(handler_file, handler_class, folder, manifest=..., config=...)
    host.answers([b"...", b"..."])      one batch
    host.stream(b"...")                 an iterator over the parts of one streaming call

``ts.handler_utils.utils.send_intermediate_predict_response`` is replaced before the handler is imported, so that its
parts arrive here. All else that the handler imports (torch, ``ts.torch_handler.base_handler``, ...) must be installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HANDLER_UTILS = "ts.handler_utils.utils"


class Context:
    """The part of TorchServe's context that handlers commonly use."""

    def __init__(self, folder: Path, manifest: dict[str, Any], config: dict[str, Any]) -> None:
        self.system_properties = {"model_dir": str(folder), "gpu_id": None, "batch_size": 1, "server_name": "host"}
        self.manifest = manifest
        self.model_name = str(manifest.get("model", {}).get("modelName", "model"))
        self.model_yaml_config = config
        self.request_ids: dict[int, str] = {}
        self.metrics = None
        self.explain = False

    def is_cancelled(self, _index: int) -> bool:
        return False

    def get_request_header(self, _index: int, _key: str) -> None:
        return None

    def get_all_request_header(self, _index: int) -> dict[str, str]:
        return {}


class Host:
    """One handler, initialised."""

    def __init__(self, handle: Callable[[Any, Any], Any], context: Context) -> None:
        self._handle = handle
        self._context = context

    def answers(self, rows: Sequence[bytes]) -> list[bytes]:
        self._context.request_ids = {index: f"row-{index}" for index in range(len(rows))}
        return [to_bytes(item) for item in self._handle([{"data": row} for row in rows], self._context)]

    def stream(self, row: bytes) -> Iterator[bytes]:
        """Runs the handler in a thread at its own pace, and yields each part as soon as it is sent."""
        parts: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._run, args=(row, parts), daemon=True)
        thread.start()
        while (part := parts.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part
        thread.join()

    def _run(self, row: bytes, parts: queue.SimpleQueue[Any]) -> None:
        _sending.put = parts.put
        try:
            parts.put(self.answers([row])[0])
            parts.put(None)
        except BaseException as error:
            parts.put(error)


_sending = threading.local()


def load(
    handler_file: str | Path,
    handler_class: str | None,
    folder: str | Path,
    *,
    manifest: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Host:
    """Imports the handler with ``folder`` first on sys.path, and initialises it."""
    sys.path.insert(0, str(folder))
    _catch_parts()
    module = _import_handler(str(handler_file))
    context = Context(Path(folder), manifest or {}, config or {})
    if handler_class is None and hasattr(module, "handle"):
        module.handle(None, context)  # TorchServe's first call of a function, for loading
        return Host(module.handle, context)
    instance = _class_of(module, handler_class)()
    instance.context = context
    instance.initialize(context)
    return Host(instance.handle, context)


def _class_of(module: types.ModuleType, name: str | None) -> Any:
    """Returns the class of that name, or the only one with a ``handle`` that the module itself defines."""
    if name is not None:
        return getattr(module, name)
    own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    (only,) = [c for c in own if hasattr(c, "handle")]
    return only


def _import_handler(handler: str) -> types.ModuleType:
    """Imports a Python file, or a built-in handler by name."""
    if handler.endswith(".py"):
        return _import_file(Path(handler))
    return importlib.import_module(f"ts.torch_handler.{Path(handler).name}")


def to_bytes(item: Any) -> bytes:
    """Serialises an answer as TorchServe does."""
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    return (item if isinstance(item, str) else json.dumps(item)).encode()


def _import_file(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"hosted_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _catch_parts() -> None:
    """Replaces one function, in the real module if it is installed, else in an empty one."""
    try:
        utils = __import__(HANDLER_UTILS, fromlist=["utils"])
    except ImportError:
        utils = _stand_in()
    vars(utils)["send_intermediate_predict_response"] = _send_part


def _stand_in() -> types.ModuleType:
    for depth in range(1, 4):
        name = ".".join(HANDLER_UTILS.split(".")[:depth])
        sys.modules.setdefault(name, types.ModuleType(name))
    return sys.modules[HANDLER_UTILS]


def _send_part(ret: Sequence[Any], _ids: Any, _message: str, _code: int, _context: Any = None) -> None:
    _sending.put(to_bytes(ret[0]))
