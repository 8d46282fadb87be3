"""`ImageClassifier`: an image in, the most probable classes out. Archives name it ``image_classifier``."""

from __future__ import annotations

from typing import Any

import torch

from stoker.handlers import _transforms
from stoker.handlers._transforms import LazyAttribute
from stoker.handlers.timer import timed
from stoker.handlers.util import map_class_to_label
from stoker.handlers.vision import VisionHandler


class ImageClassifier(VisionHandler):
    """Answers ``{label: probability}`` for the `topk` best classes, the best first."""

    topk = 5
    image_processing = LazyAttribute(_transforms.imagenet)

    def set_max_result_classes(self, topk: int) -> None:
        self.topk = topk

    def get_max_result_classes(self) -> int:
        return self.topk

    @timed
    def postprocess(self, data: Any) -> Any:
        probabilities = torch.softmax(data, dim=1)
        best = torch.topk(probabilities, min(self.topk, probabilities.shape[1]), dim=1)
        return map_class_to_label(best.values.tolist(), self.mapping, best.indices.tolist())
