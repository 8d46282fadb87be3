"""Small helpers of handlers. Users import them from `ts.handler_utils.utils`; torch is never imported here."""

from __future__ import annotations

import importlib
from typing import Any

from stoker.worker.streaming import send_intermediate_predict_response

__all__ = ["import_class", "send_intermediate_predict_response"]


def import_class(class_name: str, module_prefix: str | None = None) -> Any:
    """Imports ``package.module.Class``, below ``module_prefix`` if given; ``Class`` alone is in that itself. Raises
    ImportError."""
    module_name, _, name = class_name.rpartition(".")
    path = ".".join(part for part in (module_prefix, module_name) if part)
    if not path:
        raise ImportError(f"no module is given for class={name}")
    try:
        return getattr(importlib.import_module(path), name)
    except AttributeError:
        raise ImportError(f"class={name} is not found in module={path}") from None
