"""`ImageSegmenter`: an image in, a class for each pixel out. Archives name it ``image_segmenter``."""

from __future__ import annotations

from typing import Any

import torch

from stoker.handlers import _transforms
from stoker.handlers._transforms import LazyAttribute
from stoker.handlers.timer import timed
from stoker.handlers.vision import VisionHandler


class ImageSegmenter(VisionHandler):
    """Answers height x width x ``[best class, its probability]`` per image, from the model's ``out``."""

    image_processing = LazyAttribute(_transforms.imagenet)

    @timed
    def postprocess(self, data: Any) -> Any:
        best = torch.softmax(data["out"], dim=1).max(dim=1)
        return torch.stack([best.indices.to(best.values.dtype), best.values], dim=3).tolist()
