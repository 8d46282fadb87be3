"""Reads the ``pt2`` section of model-config.yaml, and compiles a model with `torch.compile` as it says.

Compilation happens when the model is first called; failing there costs speed, never the model.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shutil
from typing import Any

import torch

log = logging.getLogger(__name__)


def options_of(section: object) -> dict[str, Any] | None:
    """Returns the arguments of `torch.compile` from any of the three spellings of the section, None if it asks for no
    compilation.

    Raises: ValueError: it is not understood.
    """
    if isinstance(section, str):
        return {"backend": section}
    if section is not None and not isinstance(section, dict):
        raise ValueError("pt2 should be str or dict")
    if not section:
        return None
    if "compile" not in section:
        return None if "export" in section else dict(section)
    if not isinstance(section["compile"], dict | None):
        raise ValueError("compile in pt2 should be a dict, such as {enable: true, backend: inductor}")
    options = dict(section["compile"] or {})
    return options if options.pop("enable", False) is True else None


def obstacle(options: dict[str, Any], device: Any) -> str | None:
    """Returns why the machine cannot compile, where that is known before the first request."""
    if options.get("backend", "inductor") != "inductor":
        return None
    on_cpu = getattr(device, "type", None) == "cpu"
    language, variable = ("C++", "CXX") if on_cpu else ("C", "CC")
    names = [os.environ[variable]] if os.environ.get(variable) else ["g++"] if on_cpu else ["gcc", "clang", "cc"]
    if any(map(shutil.which, names)):
        return None
    return f"inductor needs a {language} compiler, and there is no {names[0]} ({variable} may name another one)"


_REGISTERED_BY = {"openvino": "openvino.torch", "torchxla_trace_once": "torch_xla"}
"""Packages that make a backend known when they are imported."""


def compiled(model: Any, options: dict[str, Any]) -> Any:
    if (package := _REGISTERED_BY.get(options.get("backend", ""))) is not None:
        importlib.import_module(package)
    torch._dynamo.reset()
    torch._dynamo.config.suppress_errors = True
    return torch.compile(model, **options)


def import_if_present(package: str) -> None:
    """Imports a package that registers operators. One that is installed but broken costs only these."""
    if importlib.util.find_spec(package) is not None:
        try:
            importlib.import_module(package)
        except (ImportError, OSError) as error:
            log.warning("%s cannot be imported: %s", package, error)
