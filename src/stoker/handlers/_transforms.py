"""The image transforms of the default vision handlers, made when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stoker.handlers import _torchvision


class LazyAttribute:
    """Reads as the result of ``make()``, which runs once: subclasses that replace it do not need torchvision."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._value: Any = None

    def __get__(self, instance: object, owner: type) -> Any:
        if self._value is None:
            self._value = self._make()
        return self._value


_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet() -> Any:
    """Makes the usual transform: resize 256, centre crop 224, tensor, ImageNet normalisation."""
    transforms = _torchvision.load("torchvision.transforms")
    return transforms.Compose(
        [
            to_rgb,
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
        ]
    )


def tensor_only() -> Any:
    """Makes a tensor of the whole image."""
    transforms = _torchvision.load("torchvision.transforms")
    return transforms.Compose([to_rgb, transforms.ToTensor()])


def to_rgb(image: Any) -> Any:
    """Converts grey, palette and transparent images, which do not fit a model of three channels."""
    return image.convert("RGB")
