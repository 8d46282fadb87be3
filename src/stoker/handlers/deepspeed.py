"""Makes DeepSpeed's inference engine from the section ``deepspeed`` of model-config.yaml."""

from __future__ import annotations

import importlib
import json
import os
from abc import ABC
from pathlib import Path
from typing import Any

from stoker.handlers.base import BaseHandler


class BaseDeepSpeedHandler(BaseHandler, ABC):
    """Base of handlers with an engine of DeepSpeed: each rank has the device of its number."""

    def initialize(self, ctx: Any) -> None:
        self.device = int(os.environ.get("LOCAL_RANK", "0"))


def get_ds_engine(model: Any, ctx: Any) -> Any:
    """Raises ValueError: the model config has no such section, or names a file that is not there; ImportError:
    DeepSpeed is not installed.
    """
    section = ctx.model_yaml_config.get("deepspeed")
    if section is None:
        raise ValueError(f"{ctx.model_name} has no deepspeed config in model config yaml file")
    model_dir = Path(ctx.system_properties["model_dir"])
    model_path = ctx.model_yaml_config["handler"]["model_path"]
    config = checkpoint = None
    if "config" in section:
        config = str(model_dir / section["config"])
        if not Path(config).exists():
            raise ValueError(f"{ctx.model_name} has no deepspeed config file {config}")
    deepspeed = _deepspeed()
    if "checkpoint" in section:
        checkpoint = str(model_dir / section["checkpoint"])
        create_checkpoints_json(model_path, checkpoint)
    return deepspeed.init_inference(model, config=config, base_dir=model_path, checkpoint=checkpoint)


def create_checkpoints_json(model_path: str, checkpoints_json: str) -> None:
    """Lists all ``.bin`` files below ``model_path`` in the file ``checkpoints_json``, as DeepSpeed reads it."""
    found = [str(file) for file in sorted(Path(model_path).rglob("*.bin"))]
    document = {"type": "ds_model", "checkpoints": found, "version": 1.0}
    Path(checkpoints_json).write_text(json.dumps(document), encoding="utf-8")


def _deepspeed() -> Any:
    try:
        return importlib.import_module("deepspeed")
    except ModuleNotFoundError as error:
        if error.name != "deepspeed":
            raise
        raise ImportError(
            "This handler needs DeepSpeed: install deepspeed in the workers' environment, or list it in the model's "
            "requirements."
        ) from None
