"""Reads the section ``openInference`` of model-config.yaml: which tensors a model takes and gives, and how. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.core.tensors import DEFAULT_PLATFORM, TensorInterface, TensorSpec
from stoker.tensors.datatypes import DATATYPES
from stoker.tensors.elements import MAX_DIMENSIONS

_KEYS = ("mode", "batchDimension", "as", "platform", "inputs", "outputs")
_MODES = ("v2", "tensors")
_VALUES = ("list", "numpy", "torch")
_LARGEST = 2**31 - 1


def interface(section: Any) -> TensorInterface:
    """Raises ValueError with what is wrong."""
    known = _map(section, _KEYS, "openInference")
    inputs, outputs = _specs(known, "inputs"), _specs(known, "outputs")
    mode = _word(known, "mode", _MODES, "tensors" if inputs else "v2")
    batch = known.get("batchDimension", 0)
    if batch not in (0, None) or isinstance(batch, bool):
        raise ValueError("batchDimension must be 0 or null")
    batched = batch is not None and mode == "tensors"
    if batched:
        _check_batched(inputs, outputs)
    platform = known.get("platform", DEFAULT_PLATFORM)
    if not isinstance(platform, str):
        raise ValueError("platform is not text")
    values = _word(known, "as", _VALUES, "list")
    return TensorInterface(mode == "tensors", batched, values, platform, inputs, outputs)


def _map(value: Any, keys: tuple[str, ...], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a map of keys")
    unknown = [str(key) for key in value if key not in keys]
    if unknown:
        raise ValueError(f"{what} has an unknown key {unknown[0][:64]!r}; the keys are {', '.join(keys)}")
    return value


def _word(section: Mapping[str, Any], key: str, words: tuple[str, ...], default: str) -> str:
    value = section.get(key, default)
    if value not in words:
        raise ValueError(f"{key} is not one of: {', '.join(words)}")
    return str(value)


def _specs(section: Mapping[str, Any], key: str) -> tuple[TensorSpec, ...]:
    given = section.get(key) or []
    if not isinstance(given, list):
        raise ValueError(f"{key} is not a list")
    found = tuple(_spec(each, f"an entry of {key}") for each in given)
    if len({spec.name for spec in found}) < len(found):
        raise ValueError(f"two entries of {key} have the same name")
    return found


def _spec(value: Any, what: str) -> TensorSpec:
    given = _map(value, ("name", "datatype", "shape"), what)
    name, datatype, shape = given.get("name"), given.get("datatype"), given.get("shape")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{what} has no name")
    if datatype not in DATATYPES:
        raise ValueError(f"the datatype of {name[:64]!r} is not one of: {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not all(_is_size(size) for size in shape):
        raise ValueError(f"the shape of {name[:64]!r} is not a list of numbers from -1")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"the shape of {name[:64]!r} has more than {MAX_DIMENSIONS} dimensions")
    return TensorSpec(name, str(datatype), tuple(shape))


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and -1 <= size <= _LARGEST


def _check_batched(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    for spec in (*inputs, *outputs):
        if not spec.shape or spec.shape[0] != -1:
            raise ValueError(
                f"the shape of {spec.name[:64]!r} does not begin with -1, the number of rows (batchDimension: null "
                "hands tensors to the handler whole)"
            )
