"""Reads files of `torch.save` without running code from them, and loads them into a model.

Invariants: uses `weights_only` unless the operator sets ``TS_TRUST_PICKLED_WEIGHTS=true``, and never retries silently
without it.  Files of the zip format are mapped, and a model on the CPU keeps the mapped pages, so that workers of one
model share them.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from packaging import version

log = logging.getLogger(__name__)

TRUST_VARIABLE = "TS_TRUST_PICKLED_WEIGHTS"
_SAFE_SINCE = version.parse("2.10")  # older versions have holes in weights_only that run code


def trusted() -> bool:
    """Tells whether the operator trusts this server's archives to run code while they are unpickled."""
    return os.environ.get(TRUST_VARIABLE, "").strip().lower() == "true"


def load_file(path: str | Path, map_location: Any = "cpu") -> Any:
    """Returns the object in a `torch.save` file. Raises RuntimeError: it holds code without the operator's trust."""
    path, safe = Path(path), not trusted()
    if safe and version.parse(torch.__version__) < _SAFE_SINCE:
        _warn_of_old_torch()
    try:
        return torch.load(path, map_location=map_location, weights_only=safe, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        log.error("%s was not unpickled: %s", path.name, error)
        raise RuntimeError(refusal(path.name)) from error


@functools.cache
def _warn_of_old_torch() -> None:
    log.warning(
        "torch %s: weights_only is not safe before %s; only load archives you trust", torch.__version__, _SAFE_SINCE
    )


def refusal(name: str) -> str:
    """Returns the client's message, and logs what the operator can do."""
    log.error("%s was not unpickled. A server started with %s=true lets archives run code.", name, TRUST_VARIABLE)
    return (
        f"{name} holds more than tensors and plain containers, or is damaged. Save a state_dict, or let the operator "
        "of the server trust its archives"
    )


def reason_not_loaded(name: str) -> str:
    """Says what an archive without a model file lacks so that ``name``, its serialized file, can be loaded."""
    if not name:
        return "the archive has neither a model file nor a serialized file"
    if name.endswith(".onnx"):
        return f"{name} needs the package onnxruntime"
    if name.endswith(".so"):
        return f"{name} needs pt2: {{export: {{aot_compile: true}}}} in model-config.yaml"
    return f"without a model file, {name} would have to be .pt (TorchScript), .pt2, .onnx or .so"


def no_program(name: str) -> str:
    return f"{name} holds no TorchScript program. If it is a state_dict, the archive needs a model file too"


def load_into(model: torch.nn.Module, path: str | Path, map_location: Any = "cpu") -> None:
    """Loads the state dict in a file (`torch.save` or safetensors) into ``model``."""
    state = _read_state(path, map_location)
    if _may_share(model, state):
        model.load_state_dict(state, assign=True)
    else:
        model.load_state_dict(state)


def _read_state(path: str | Path, map_location: Any) -> Any:
    if Path(path).suffix != ".safetensors":
        return load_file(path, map_location)
    from safetensors.torch import load_file as load_safetensors  # noqa: PLC0415 - an optional package

    return load_safetensors(path, device=str(map_location))


def _may_share(model: torch.nn.Module, state: object) -> bool:
    """Tells whether using the tensors of ``state`` directly gives the same model as copying their values."""
    own_way = type(model).load_state_dict is not torch.nn.Module.load_state_dict  # may not know `assign`
    if own_way or not isinstance(state, Mapping):
        return False
    mine = model.state_dict()
    tied = len({tensor.data_ptr() for tensor in mine.values() if tensor.numel()}) < sum(
        1 for tensor in mine.values() if tensor.numel()
    )
    return not tied and all(_same_kind(mine.get(name), tensor) for name, tensor in state.items())


def _same_kind(mine: torch.Tensor | None, theirs: object) -> bool:
    return (
        isinstance(mine, torch.Tensor)
        and isinstance(theirs, torch.Tensor)
        and mine.dtype == theirs.dtype
        and mine.device == theirs.device
        and mine.shape == theirs.shape
        and theirs.is_contiguous()
    )
