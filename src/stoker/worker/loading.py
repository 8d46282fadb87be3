"""Finds a model's entry point, calls its initialisation once, and reports why that failed.

Invariants: the FIRST import error is the one that is reported, so that a dependency missing in a user's file shows its
own name; messages for clients are one line without paths, tracebacks go to standard error.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from stoker import TORCHSERVE_VERSION
from stoker.ipc.to_server import LoadFailed
from stoker.ipc.to_worker import Load
from stoker.worker.calling import EntryPoint
from stoker.worker.context import Context
from stoker.worker.tensors import TensorCodec

_BUILT_IN = "ts.torch_handler."
_ENVELOPES = "ts.torch_handler.request_envelope."
_MAX_MESSAGE = 1000


class LoadedModel(NamedTuple):
    entry_point: EntryPoint
    context: Context


class Entry(NamedTuple):
    """``initialize`` is called once, with the context."""

    entry_point: EntryPoint
    initialize: Callable[[Context], object]


def load(message: Load, *, metrics: Any = None) -> LoadedModel:
    """Imports and initialises the handler. Raises whatever the user's code raises."""
    context = make_context(
        model_name=message.model_name,
        model_dir=message.model_dir,
        batch_size=message.batch_size,
        gpu_id=message.gpu_id,
        limit_max_image_pixels=message.limit_max_image_pixels,
        metrics=metrics,
    )
    make_importable(message.model_dir)
    TensorCodec(message.tensors, message.model_name)  # raises here what would fail each request later
    entry = find_entry(message.handler, message.envelope, asynchronous=message.asynchronous)
    started = entry.initialize(context)
    if message.asynchronous and inspect.isawaitable(started):
        import asyncio  # noqa: PLC0415 - other workers do not need it

        asyncio.get_event_loop().run_until_complete(_awaited(started))
    return LoadedModel(entry.entry_point, context)


def make_context(
    *,
    model_name: str,
    model_dir: str,
    batch_size: int | None,
    gpu_id: int | None,
    limit_max_image_pixels: bool,
    metrics: Any,
) -> Context:
    """Makes the worker's only context, with the archive's manifest and model config."""
    manifest = read_manifest(model_dir)
    config = read_model_config(model_dir, manifest)
    return Context(
        model_name,
        model_dir,
        manifest,
        batch_size,
        gpu_id,
        TORCHSERVE_VERSION,
        limit_max_image_pixels,
        metrics,
        config,
    )


def read_manifest(model_dir: str) -> dict[str, Any] | None:
    """Reads the archive's manifest, None if there is none."""
    path = Path(model_dir, "MAR-INF", "MANIFEST.json")
    if not path.is_file():
        return None
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def read_model_config(model_dir: str, manifest: dict[str, Any] | None) -> dict[str, Any]:
    """Reads the YAML file that the manifest names; empty if it names none."""
    name = ((manifest or {}).get("model") or {}).get("configFile")
    if not name:
        return {}
    import yaml  # noqa: PLC0415 - only some models have a config, and each worker pays for imports

    with Path(model_dir, name).open(encoding="utf-8") as file:
        return yaml.safe_load(file) or {}


def make_importable(model_dir: str) -> None:
    """Adds the model's folder to the module search path unless it is there already."""
    if model_dir not in sys.path:
        sys.path.append(model_dir)


# -------------------------------------------------------------------------------------------- entry points


def find_entry(handler: str, envelope: str | None = None, *, asynchronous: bool | None = None) -> Entry:
    """Finds what ``handler`` names: ``file.py``, ``file.py:function``, ``dir/file`` or a built-in name.

    ``asynchronous``: whether it will be awaited; None: it is not checked.

    Raises: ImportError: neither the archive nor the built-in handlers have it, or it needs what is not installed;
    ValueError: the module has no function ``handle`` and not exactly one class of its own with that method, or it is a
    coroutine function where ``asynchronous`` is false, or the reverse.
    """
    module_name, function_name = _parse(handler)
    module = _import(module_name)
    own_function = hasattr(module, function_name)
    entry = _function_entry(module, function_name) if own_function else _class_entry(module)
    if asynchronous is not None:
        _check_kind(entry.entry_point, envelope, asynchronous=asynchronous)
    return entry._replace(entry_point=_wrapped(entry.entry_point, envelope)) if envelope else entry


def _parse(handler: str) -> tuple[str, str]:
    file, _, function = handler.partition(":")
    return file.rpartition("/")[2].removesuffix(".py"), function or "handle"


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # the file is there, something it imports is not
        return _import_built_in(name, error)


def _import_built_in(name: str, first: ModuleNotFoundError) -> ModuleType:
    try:
        return importlib.import_module(_BUILT_IN + name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith(_BUILT_IN + name.partition(".")[0]):
            raise first from None
        raise  # a built-in handler that lacks a dependency


def _check_kind(entry_point: EntryPoint, envelope: str | None, *, asynchronous: bool) -> None:
    """Refuses a handler that would be called in a way that it is not made for."""
    is_async = inspect.iscoroutinefunction(inspect.unwrap(entry_point)) or inspect.iscoroutinefunction(entry_point)
    if is_async and not asynchronous:
        raise ValueError("the handler's handle is 'async def': it needs asyncCommunication: true in model-config.yaml")
    if asynchronous and not is_async:
        raise ValueError("asyncCommunication needs a handler whose handle is 'async def'")
    if asynchronous and envelope:
        raise ValueError("asyncCommunication and service_envelope exclude each other: an envelope cannot wait")


async def _awaited(started: Any) -> None:
    await started


def _function_entry(module: ModuleType, name: str) -> Entry:
    function = getattr(module, name)
    return Entry(function, lambda context: function(None, context))


def _class_entry(module: ModuleType) -> Entry:
    classes = own_classes(module)
    if len(classes) != 1:
        names = ", ".join(cls.__name__ for cls in classes) or "none"
        raise ValueError(f"Expected only one class in custom service code or a function entry point, found {names}")
    service = classes[0]()
    for method in ("handle", "initialize"):
        if not callable(getattr(service, method, None)):
            raise ValueError(f"Expect {method} method in class {classes[0].__name__}")
    return Entry(service.handle, service.initialize)


def own_classes(module: ModuleType) -> list[type]:
    """Returns the classes that the module itself defines, not those it imports."""
    return [cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__]


def _wrapped(entry_point: EntryPoint, envelope: str) -> EntryPoint:
    """``envelope``: ``NAME``, or ``NAME:input`` or ``NAME:output`` for one side of it."""
    name, _, side = envelope.partition(":")
    module = importlib.import_module(_ENVELOPES + name)
    wrapped: EntryPoint = getattr(own_classes(module)[0](entry_point), f"handle_{side}" if side else "handle")
    return wrapped


# -------------------------------------------------------------------------------------------------- failure


def load_failed(error: BaseException, model_dir: str) -> LoadFailed:
    """Makes the answer to a `Load` that raised ``error``."""
    text = one_line(f"{type(error).__name__}: {error}", model_dir)
    return LoadFailed(number=507 if is_out_of_memory(error) else 500, message=text)


_MEMORY_TEXTS = ("CUDA", "out of memory", "not enough memory", "can't allocate memory")
"""TorchServe looks for the first; the others are those of other devices and of the CPU's allocator."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether a model did not fit. Recognises torch's classes by name, without importing it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    names = {kind.__name__ for kind in type(error).__mro__}
    texts = _MEMORY_TEXTS if isinstance(error, RuntimeError) else ()
    return not names.isdisjoint({"MemoryError", "OutOfMemoryError"}) or any(text in str(error) for text in texts)


_PATH = re.compile(r"(?<![\w:/.~-])~?/(?:[^\s/'\"<>|:,;()\[\]]+/)*([^\s/'\"<>|:,;()\[\]]*)")


def one_line(text: str, model_dir: str) -> str:
    """Prepares ``text`` for a client: no line breaks, files by their last name only, bounded."""
    for folder in (model_dir, str(Path.home()), sys.prefix):
        text = text.replace(folder.rstrip(os.sep) + os.sep, "")
    text = " ".join(_PATH.sub(r"\1", text).split())
    return text.encode("utf-8", "replace").decode("utf-8")[:_MAX_MESSAGE]
