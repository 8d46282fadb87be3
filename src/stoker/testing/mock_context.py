"""The context that TorchServe's own handler tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stoker import TORCHSERVE_VERSION
from stoker.handlers.util import get_yaml_config
from stoker.worker import metrics
from stoker.worker.context import Context


class MockContext(Context):
    """A real `Context` for a model folder, with one request. Set ``explain`` to request explanations."""

    def __init__(
        self,
        model_pt_file: str | None = "model.pt",
        model_dir: str | Path = "ts/torch_handler/unit_tests/models/tmp",
        model_file: str | None = "model.py",
        gpu_id: int | str | None = "0",
        model_name: str = "mnist",
        model_yaml_config_file: str | None = None,
    ) -> None:
        config = get_yaml_config(Path(model_dir, model_yaml_config_file)) if model_yaml_config_file else {}
        super().__init__(
            model_name,
            str(model_dir),
            {"model": _entry(model_name, model_pt_file, model_file)},
            1,
            int(gpu_id) if gpu_id is not None else None,
            TORCHSERVE_VERSION,
            metrics=metrics.new_cache(model_name),
            model_yaml_config=config,
        )
        self.explain = False

    def get_request_header(self, idx: int, exp: str) -> Any:
        if exp == "explain":
            return str(bool(self.explain))
        return super().get_request_header(idx, exp)


def _entry(model_name: str, model_pt_file: str | None, model_file: str | None) -> dict[str, str]:
    files = {"serializedFile": model_pt_file, "modelFile": model_file}
    return {"modelName": model_name, **{key: name for key, name in files.items() if name}}
