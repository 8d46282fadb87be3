"""`VisionHandler`: turns rows with images (or numbers) into one tensor. Users import it from
`ts.torch_handler.vision_handler`.

PIL and captum are imported when an image or an explanation is first asked for.
"""

from __future__ import annotations

import base64
import functools
import io
from abc import ABC
from typing import TYPE_CHECKING, Any

import torch

from stoker.handlers.base import BaseHandler
from stoker.handlers.timer import timed

if TYPE_CHECKING:
    from stoker.worker.context import Context


class VisionHandler(BaseHandler, ABC):
    """Subclasses provide ``image_processing``, a callable from a PIL image to a tensor."""

    image_processing: Any

    def initialize(self, context: Context) -> None:
        super().initialize(context)
        if not context.system_properties.get("limit_max_image_pixels", True):
            from PIL import Image  # noqa: PLC0415 - see the top

            Image.MAX_IMAGE_PIXELS = None

    @functools.cached_property
    def ig(self) -> Any:
        """Returns captum's integrated gradients of the model."""
        from captum.attr import IntegratedGradients  # noqa: PLC0415 - see the top

        return IntegratedGradients(self.model)

    @timed
    def preprocess(self, data: Any) -> Any:
        """Reads each row as an encoded image (bytes, or base64 in a string) or as nested numbers."""
        return self._collate([self._read_image(row.get("data") or row.get("body")) for row in data])

    def _read_image(self, value: Any) -> Any:
        if isinstance(value, str):
            value = base64.b64decode(value)
        if not isinstance(value, bytes | bytearray | memoryview):
            return torch.FloatTensor(value)
        from PIL import Image  # noqa: PLC0415 - see the top

        with Image.open(io.BytesIO(value)) as image:
            return self.image_processing(image)

    def _collate(self, images: list[Any]) -> Any:
        return torch.stack(images).to(self.device)

    def get_insights(self, tensor_data: Any, _: Any, target: Any = 0) -> Any:
        """Returns integrated gradients of class ``target``, 15 steps, one list per request."""
        return self.ig.attribute(tensor_data, target=target, n_steps=15).tolist()
