"""Finds the class of an eager model in the archive's ``modelFile``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from stoker.handlers.util import list_classes_from_module


def model_class(model_dir: str | Path, model_file: str) -> type:
    """Returns the only class that ``model_file`` defines. Raises RuntimeError, ValueError."""
    path = Path(model_dir, model_file)
    if not path.is_file():
        raise RuntimeError("Missing the model.py file")
    classes = list_classes_from_module(import_by_base_name(path))
    if len(classes) != 1:
        raise ValueError(f"Expected only one class as model definition. {classes}")
    return classes[0]


def import_by_base_name(path: Path) -> ModuleType:
    """Imports ``path`` under its base name, so that modules beside it can import each other.

    Replaces a module of that name from another folder (another model loaded before in the same process).
    """
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = path.name.split(".")[0]
    known = sys.modules.get(name)
    return known if known is not None and _is_from(known, path) else _import_file(name, path)


def _is_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
