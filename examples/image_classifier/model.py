"""EfficientNet-Lite0, by the name and with the parameter names of the efficientnet-lite-pytorch package."""

from __future__ import annotations

from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import get_model_params


class EfficientNetLite0(EfficientNet):  # type: ignore[misc]  # the package has no types
    """The network without weights: the server loads them from the archive's state dict."""

    def __init__(self) -> None:
        super().__init__(*get_model_params("efficientnet-lite0", override_params={}))
