"""`DALIImageClassifier`: says why NVIDIA DALI is not served."""

from __future__ import annotations

from typing import Any


class DALIImageClassifier:
    def initialize(self, context: Any) -> None:
        raise ImportError(
            "stoker has no dali_image_classifier: NVIDIA DALI is not supported. Use image_classifier, which decodes on "
            "the CPU, or a handler of your own around nvidia.dali."
        )

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        raise NotImplementedError("initialize refuses before")
