"""Classifies pictures: answers the five most likely ImageNet classes, ``{"espresso": 0.95, ...}``, per request.

A picture is the bytes of a JPEG, PNG, ... file under ``data`` (gRPC) or ``body`` (REST), or base64 text.  An unreadable
one fails alone; the others of its batch are answered.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException, map_class_to_label

TOP = 5
SHORT_SIDE, CROP = 256, 224  # as if resized to 256 pixels at the short side first
MEAN, DEVIATION = 0.498, 0.502  # what the weights were trained with, the same for every colour


class ImageClassifier(BaseHandler):
    """EfficientNet-Lite0; the model file, weights and labels are loaded by `BaseHandler`."""

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        pictures = [_tensor_or_refusal(row) for row in data]
        good = [picture for picture in pictures if isinstance(picture, torch.Tensor)]
        answers = iter(self.postprocess(self.inference(torch.stack(good))) if good else [])
        return [next(answers) if isinstance(picture, torch.Tensor) else picture for picture in pictures]

    def postprocess(self, data: torch.Tensor) -> list[dict[str, float]]:
        probabilities, classes = torch.topk(data.softmax(dim=1), TOP)
        return map_class_to_label(probabilities.tolist(), self.mapping, classes.tolist())


def _tensor_or_refusal(row: dict[str, Any]) -> torch.Tensor | PredictionException:
    try:
        return _to_tensor(_open(row.get("data") or row.get("body")))
    except (UnidentifiedImageError, OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return PredictionException("The input is not a picture that can be read", 400)


def _open(value: Any) -> Image.Image:
    content = base64.b64decode(value, validate=True) if isinstance(value, str) else memoryview(value)
    return Image.open(io.BytesIO(content)).convert("RGB")


def _to_tensor(picture: Image.Image) -> torch.Tensor:
    """Converts the middle of the picture to 3 x 224 x 224 numbers around zero.

    Cuts and resizes in one step: a picture of 1 x 100,000 pixels would not fit into memory at a height of 256.
    """
    side = min(picture.size) * CROP / SHORT_SIDE
    left, top = ((length - side) / 2 for length in picture.size)
    middle = picture.resize((CROP, CROP), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    numbers = (np.asarray(middle, dtype=np.float32) / 255 - MEAN) / DEVIATION
    return torch.from_numpy(numbers).permute(2, 0, 1)
