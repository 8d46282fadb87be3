"""Helpers for handlers and the code that loads them: label files, class look-up, deprecation.

Users import it as `ts.utils.util`.  It must never import torch: the worker uses it before a handler asked for torch.
"""

from __future__ import annotations

import enum
import functools
import inspect
import json
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml

from stoker.worker.exceptions import PredictionException

__all__ = [
    "CLEANUP_REGEX",
    "PT2Backend",
    "PredictionException",
    "check_valid_pt2_backend",
    "deprecated",
    "get_yaml_config",
    "list_classes_from_module",
    "load_label_mapping",
    "map_class_to_label",
]

log = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])

CLEANUP_REGEX = re.compile(r"<[^>]*>|&(?:[a-z0-9]+|#[0-9]{1,6}|#x[0-9a-f]{1,6});")
"""HTML tags and character references."""


class PT2Backend(str, enum.Enum):
    """Backends of `torch.compile` that a model-config.yaml may name."""

    EAGER = "eager"
    AOT_EAGER = "aot_eager"
    INDUCTOR = "inductor"
    NVFUSER = "nvfuser"
    AOT_NVFUSER = "aot_nvfuser"
    AOT_CUDAGRAPHS = "aot_cudagraphs"
    OFI = "ofi"
    FX2TRT = "fx2trt"
    ONNXRT = "onnxrt"
    IPEX = "ipex"
    TORCHXLA_TRACE_ONCE = "torchxla_trace_once"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    HPU_BACKEND = "hpu_backend"


def check_valid_pt2_backend(backend: str) -> bool:
    """Tells whether ``backend`` can be passed to `torch.compile`; logs if not."""
    known = any(backend == member.value for member in PT2Backend)
    if not known:
        log.warning("%s is not a supported backend", backend)
    return known


def list_classes_from_module(module: ModuleType, parent_class: type | None = None) -> list[type]:
    """Returns the classes that ``module`` itself defines; only subclasses of ``parent_class`` if given."""
    own = [member for _, member in inspect.getmembers(module, inspect.isclass) if member.__module__ == module.__name__]
    return [cls for cls in own if parent_class is None or issubclass(cls, parent_class)]


def load_label_mapping(mapping_file_path: str | Path) -> dict[str, str] | None:
    """Reads ids and labels of an ``index_to_name.json``; None, with a warning, without one. Raises ValueError."""
    path = Path(mapping_file_path)
    if not path.is_file():
        log.warning("Missing the %s file. Inference output will not include class name.", path.name)
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError('index_to_name mapping should be in "class":"label" json format')
    names = content.get("object_type_names")
    pairs = enumerate(names) if isinstance(names, list) else content.items()
    return {str(key): _label(value) for key, value in pairs}


def _label(value: object) -> str:
    if isinstance(value, list) and value:
        value = value[-1]  # ImageNet style: ["n02123159", "tiger_cat"]
    if not isinstance(value, str):
        raise ValueError("labels in index_to_name must be either str or list of str")
    return value


def map_class_to_label(
    probs: Sequence[Sequence[Any]],
    mapping: Mapping[str, str] | None = None,
    lbl_classes: Sequence[Sequence[int]] | None = None,
) -> list[dict[str, Any]]:
    """Returns ``{label: probability}`` for each row; a class without a label keeps its number."""
    if not isinstance(probs, list):
        raise ValueError("Convert classes to list before doing mapping")
    if mapping is not None and not isinstance(mapping, dict):
        raise ValueError("Mapping must be a dict")
    classes: Sequence[Sequence[int]] = lbl_classes if lbl_classes is not None else [range(len(row)) for row in probs]
    labels = mapping or {}
    return [
        {labels.get(str(number), str(number)): value for number, value in zip(ids, row, strict=False)}
        for ids, row in zip(classes, probs, strict=False)
    ]


def get_yaml_config(yaml_file_path: str | Path) -> dict[str, Any]:
    """Returns the content of a YAML file, an empty dict for an empty file."""
    with Path(yaml_file_path).open(encoding="utf-8") as file:
        config: dict[str, Any] | None = yaml.safe_load(file)
    return config or {}


def deprecated(
    version: str, replacement: str = "", klass: type[Warning] = PendingDeprecationWarning
) -> Callable[[Function], Function]:
    """Marks a function to be removed after ``version``; each call warns with category ``klass``."""

    def decorate(func: Function) -> Function:
        advice = f" Use {replacement} instead." if replacement else ""
        text = f"'{func.__name__}' is deprecated and goes away after version {version}.{advice}"

        @functools.wraps(func)
        def warn(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(text, category=klass, stacklevel=2)
            return func(*args, **kwargs)

        return warn  # type: ignore[return-value]  # functools.wraps keeps the signature, not its type

    return decorate
