"""Tiny models, made where a test needs them, and contexts for their folders."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from stoker.testing.handlers import make_context
from stoker.worker.context import Context

MODEL_FILE = """
import torch

class Doubler(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale
"""


@pytest.fixture
def eager(tmp_path: Path) -> Callable[..., Context]:
    """A folder with an eager model whose saved scale is 2, and its context."""

    def make(**options: Any) -> Context:
        (tmp_path / "model.py").write_text(MODEL_FILE)
        torch.save({"scale": torch.tensor([2.0])}, tmp_path / "weights.pth")
        options.setdefault("manifest", {"modelFile": "model.py", "serializedFile": "weights.pth"})
        return make_context(tmp_path, **options)

    return make


@pytest.fixture
def png() -> Callable[..., bytes]:
    def make(size: tuple[int, int] = (300, 260), mode: str = "RGB") -> bytes:
        file = io.BytesIO()
        Image.new(mode, size, 200).save(file, "png")
        return file.getvalue()

    return make
