"""Says what the server and its models are, as the open inference protocol puts it. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from stoker import TORCHSERVE_VERSION

SERVER = "Torchserve"
VERSION = TORCHSERVE_VERSION
EXTENSIONS: Sequence[str] = (
    "kserve",
    "kubeflow",
    "binary_tensor_data",
    "model_repository",
    "statistics",
    "parameters",
    "sequence",
    "sequence(string_id)",
)
