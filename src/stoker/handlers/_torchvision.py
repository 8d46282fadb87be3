"""Imports torchvision for handlers, with a clear message if it is missing, and a workaround for one broken combination.

torchvision's usual wheel is built for CUDA.  Beside a torch without CUDA its C++ part cannot load, and then even its
Python part fails to import, because it refers to two undeclared operators.  Declaring them is enough for models and
transforms; the operators themselves (and with them the detection models) stay unusable.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")

_SCHEMA = "{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def load(name: str = "torchvision") -> ModuleType:
    """Imports torchvision or one of its modules. Raises ImportError, which says what to install."""
    try:
        return declaring_operators(lambda: importlib.import_module(name))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torchvision":
            raise
        advice = f"pip install torchvision (the release that matches torch {torch.__version__})"
        raise ImportError(f"This handler needs torchvision, which is not installed: {advice}", name=name) from error


def declaring_operators(run: Callable[[], Result]) -> Result:
    """Runs ``run()``, and once more with the operators declared if it failed because they were missing."""
    try:
        return run()
    except RuntimeError as error:
        if torch.version.cuda is not None or "operator torchvision::" not in str(error):
            raise
        _declare_operators()
        return run()


@functools.cache
def _declare_operators() -> torch.library.Library:
    make: Any = torch.library.Library  # torch has no types here
    library: torch.library.Library = make("torchvision", "DEF")  # the cache keeps it alive, and the operators with it
    for operator in ("nms", "qnms"):
        library.define(_SCHEMA.format(operator))  # type: ignore[no-untyped-call]  # torch has no types here
    return library
