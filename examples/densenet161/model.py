"""DenseNet-161 from torchvision, for the server's own `image_classifier` handler."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from torchvision.models.densenet import DenseNet

log = logging.getLogger(__name__)


class DenseNet161(DenseNet):  # type: ignore[misc]  # torchvision has no types
    """The network without weights: the server loads them from the archive's state dict."""

    def __init__(self) -> None:
        super().__init__(growth_rate=48, block_config=(6, 12, 36, 24), num_init_features=96)
        origin = json.loads(Path(__file__).with_name("weights.json").read_text(encoding="utf-8"))
        if not origin["pretrained"]:
            log.warning("densenet161 runs on RANDOM weights: its answers mean nothing. Rebuild it with the network up.")
