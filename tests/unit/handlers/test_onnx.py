"""An ``.onnx`` archive by the real onnxruntime, where it is installed (`scripts/install --clients`)."""

from __future__ import annotations

import base64
import importlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from stoker.handlers.base import BaseHandler
from stoker.testing.handlers import make_context
from stoker.worker.context import Context

pytest.importorskip("onnxruntime")

PRODUCT = base64.b64decode(
    "CAg6ZwoRCgF4CgF3EgF5IgZNYXRNdWwSAWcqIwgDCAIQASIYAACAPwAAAAAAAAAAAACAPwAAgD8AAIA/QgF3WhQKAXgSDwoNCAESCQoDEgFuCgIIA2"
    "IUCgF5Eg8KDQgBEgkKAxIBbgoCCAJCBAoAEA0="
)
"""``y = x @ [[1, 0], [0, 1], [1, 1]]`` for any number of rows of float32."""


class Rows(BaseHandler):
    dtype = torch.float32

    def preprocess(self, data: Any) -> Any:
        return torch.tensor([row["data"] for row in data], dtype=self.dtype)


class OwnInference(Rows):
    """As archives have it that were written for TorchServe, where a session must be called by the handler."""

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        return torch.as_tensor(self.model.run(["y"], {"x": data.numpy()})[0]) * 10


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr("stoker.handlers.base.ONNX_AVAILABLE", True)
    (tmp_path / "m.onnx").write_bytes(PRODUCT)
    return make_context(tmp_path, manifest={"serializedFile": "m.onnx"})


def served(handler: BaseHandler, context: Context, *rows: list[float]) -> Any:
    handler.initialize(context)
    return handler.handle([{"data": row} for row in rows], context)


def test_a_batch_is_one_run_of_the_session_on_the_cpu(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    handler = Rows()
    assert served(handler, context, [1.0, 2.0, 3.0], [0.0, 0.0, 1.0]) == [[4.0, 5.0], [1.0, 1.0]]
    assert handler.model.get_providers() == ["CPUExecutionProvider"]
    assert "Succesfully setup ort session" in caplog.text


def test_a_handler_may_run_the_session_itself(context: Context) -> None:
    assert served(OwnInference(), context, [1.0, 2.0, 3.0]) == [[40.0, 50.0]]


@pytest.mark.parametrize(
    ("dtype", "row", "reason"),
    [(torch.float64, [1.0, 2.0, 3.0], "Unexpected input data type"), (torch.float32, [1.0], "invalid dimensions")],
)
def test_a_tensor_that_does_not_fit_fails_with_onnxruntimes_reason(
    context: Context, dtype: torch.dtype, row: list[float], reason: str
) -> None:
    handler = Rows()
    handler.dtype = dtype
    with pytest.raises(Exception, match=reason):
        served(handler, context, row)
    handler.dtype = torch.float32
    assert handler.handle([{"data": [1.0, 2.0, 3.0]}], context) == [[4.0, 5.0]]


def test_a_file_that_is_damaged_is_no_model(context: Context, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(PRODUCT[:60])
    failure = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state").InvalidProtobuf
    with pytest.raises(failure):
        Rows().initialize(context)
