"""Each module of this package is one line: `alias(__name__, "stoker.handlers.base")`.

Invariant: afterwards `ts.x` and the stoker module are ONE module object, so that TorchServe's rule "exactly one class
defined in the module itself" holds for built-in handlers, and a test that patches `ts.x.name` patches what runs. The
import system picks the replacement up from `sys.modules` when the aliasing file has run.
"""

from __future__ import annotations

import importlib
import sys


def alias(name: str, target: str) -> None:
    """Makes module ``name``, which is being imported, the stoker module ``target``."""
    sys.modules[name] = importlib.import_module(target)
