"""The names of PiPPy and DeepSpeed that handlers import."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ts.handler_utils.distributed import deepspeed, pt_pippy
from ts.torch_handler.distributed.base_deepspeed_handler import BaseDeepSpeedHandler
from ts.torch_handler.distributed.base_pippy_handler import BasePippyHandler


def context(folder: Path, **sections: Any) -> Any:
    config = {"handler": {"model_path": str(folder / "model")}, **sections}
    return SimpleNamespace(model_name="m", model_yaml_config=config, system_properties={"model_dir": str(folder)})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stand-in for the package; what its engine was made of."""
    made: list[dict[str, Any]] = []
    package = ModuleType("deepspeed")
    package.init_inference = lambda model, **how: made.append({"model": model, **how}) or "engine"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepspeed", package)
    return made


def test_the_engine_is_made_of_the_config_and_the_checkpoints(tmp_path: Path, engine: list[dict[str, Any]]) -> None:
    (tmp_path / "ds.json").write_text("{}")
    (tmp_path / "model" / "deep").mkdir(parents=True)
    weights = tmp_path / "model" / "deep" / "a.bin"
    weights.touch()
    given = context(tmp_path, deepspeed={"config": "ds.json", "checkpoint": "points.json"})
    assert deepspeed.get_ds_engine("model", given) == "engine"
    points = tmp_path / "points.json"
    assert engine == [
        {
            "model": "model",
            "config": str(tmp_path / "ds.json"),
            "base_dir": str(tmp_path / "model"),
            "checkpoint": str(points),
        }
    ]
    assert json.loads(points.read_text()) == {"type": "ds_model", "checkpoints": [str(weights)], "version": 1.0}


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({}, "m has no deepspeed config in model config yaml file"),
        ({"deepspeed": {"config": "missing.json"}}, "m has no deepspeed config file"),
    ],
)
def test_a_missing_config_is_refused_in_torchserves_words(tmp_path: Path, sections: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        deepspeed.get_ds_engine("model", context(tmp_path, **sections))


def test_without_the_package_the_handler_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(ImportError):
        deepspeed.get_ds_engine("model", context(tmp_path, deepspeed={}))


def test_each_rank_of_a_deepspeed_handler_has_the_device_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    handler = BaseDeepSpeedHandler()
    handler.initialize(None)
    assert handler.device == 3


def test_pippy_imports_and_names_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    handler = BasePippyHandler()
    with pytest.raises(ImportError, match=r"torch\.distributed\.pipelining"):
        handler.initialize(None)
    assert (handler.local_rank, handler.world_size) == (1, 2)
    with pytest.raises(ImportError, match=r"torch\.distributed\.pipelining"):
        pt_pippy.get_pipeline_driver(None, 2, None)
