"""Whether a model will import torch, judged by its handler's text before any worker has run it.

A guess that only decides how soon the template is prepared: a wrong one costs time or memory, never an answer.
"""

from __future__ import annotations

from pathlib import Path

from stoker.core.model import ModelSpec

_LOOK_AT_BYTES = 256 << 10


def mentions_torch(spec: ModelSpec) -> bool:
    """Handlers without a file in the archive are the built-in ones, and these import torch."""
    name = spec.handler.partition(":")[0]
    file = Path(spec.model_dir, name if name.endswith(".py") else f"{name}.py")
    try:
        with file.open("rb") as text:
            return b"torch" in text.read(_LOOK_AT_BYTES)
    except FileNotFoundError:
        return True
    except OSError:
        return False
