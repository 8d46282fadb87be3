"""`DenseNetHandler`: rows are tensors as `torch.save` writes them, answers are tensors.

Invariant: request bytes are never unpickled; only tensors and plain containers are accepted, whatever the operator
trusts.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch

from stoker.handlers.base import BaseHandler
from stoker.handlers.timer import timed
from stoker.handlers.util import PredictionException

_IMAGE_DIMENSIONS = 3


class DenseNetHandler(BaseHandler):
    """One image tensor per request, with or without a leading dimension of 1; one tensor per answer."""

    @timed
    def preprocess(self, data: Any) -> Any:
        return torch.stack([self._read_tensor(row.get("data") or row.get("body")) for row in data])

    def _read_tensor(self, value: Any) -> torch.Tensor:
        try:
            tensor = torch.load(io.BytesIO(value), map_location=self.device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError) as error:
            raise PredictionException("The request is not a tensor saved by torch.save", 400) from error
        if not isinstance(tensor, torch.Tensor):
            raise PredictionException("The request is not a tensor saved by torch.save", 400)
        return tensor.squeeze(0) if tensor.dim() > _IMAGE_DIMENSIONS and tensor.shape[0] == 1 else tensor

    @timed
    def postprocess(self, data: Any) -> Any:
        return [row.clone() for row in data]  # a view would be saved with the storage of the whole batch
