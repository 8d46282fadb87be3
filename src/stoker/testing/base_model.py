"""`ArgmaxModel`: a model without weights, for tests of handlers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


class ArgmaxModel(torch.nn.Module):
    """Returns the position of the largest number of each row."""

    def forward(self, *input: Any) -> torch.Tensor:
        return torch.argmax(input[0], 1)


def save_pt_file(filepath: str | Path = "base_model.pt") -> None:
    torch.save(ArgmaxModel().state_dict(), filepath)
