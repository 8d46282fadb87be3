"""`ObjectDetector`: an image in, boxes with labels and scores out. Archives name it ``object_detector``.

The model answers as torchvision's detection models do: per image a dict of ``boxes``, ``labels`` and ``scores``.
"""

from __future__ import annotations

from typing import Any

import torch

from stoker.handlers import _transforms
from stoker.handlers._transforms import LazyAttribute
from stoker.handlers.timer import timed
from stoker.handlers.util import map_class_to_label
from stoker.handlers.vision import VisionHandler


class ObjectDetector(VisionHandler):
    """Answers a list of ``{label: [x1, y1, x2, y2], "score": s}`` per image, scores from `threshold` up."""

    threshold = 0.5
    image_processing = LazyAttribute(_transforms.tensor_only)

    def _collate(self, images: list[Any]) -> Any:
        """Returns one tensor if all images have one size, else a list, which the models accept too."""
        if len({image.shape for image in images}) == 1:
            return super()._collate(images)
        return [image.to(self.device) for image in images]

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(data, torch.Tensor):
            return super().inference(data, *args, **kwargs)
        with torch.inference_mode():
            return self.model(data, *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> Any:
        return [self._detections(found) for found in data]

    def _detections(self, found: Any) -> list[dict[str, Any]]:
        keep = found["scores"] >= self.threshold
        boxes, labels, scores = (found[key][keep].tolist() for key in ("boxes", "labels", "scores"))
        named = map_class_to_label([[box] for box in boxes], self.mapping, [[label] for label in labels])
        return [{**box, "score": score} for box, score in zip(named, scores, strict=True)]
