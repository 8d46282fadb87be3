"""PiPPy's names for handlers written for TorchServe: they import, and say what to use instead when they are called."""

from __future__ import annotations

import os
from abc import ABC
from typing import Any, NoReturn

import torch

from stoker.handlers.base import BaseHandler

INSTEAD = (
    "PiPPy is no longer maintained, and no current torch runs it. Its successor is torch.distributed.pipelining: build "
    "the pipeline in initialize() of a handler of your own, with parallelType: pp or pptp."
)


class BasePippyHandler(BaseHandler, ABC):
    """Base of handlers with a pipeline of PiPPy."""

    def initialize(self, ctx: Any) -> None:
        self.local_rank = int(os.environ["LOCAL_RANK"])
        self.world_size = int(os.environ["WORLD_SIZE"])
        gpus = torch.cuda.device_count()
        self.device: Any = self.local_rank % gpus if gpus else "cpu"
        initialize_rpc_workers(self.local_rank, self.world_size, ctx)


def initialize_rpc_workers(local_rank: int, world_size: int, ctx: Any) -> NoReturn:
    raise ImportError(INSTEAD)


def get_pipeline_driver(model: Any, world_size: int, ctx: Any) -> NoReturn:
    raise ImportError(INSTEAD)
