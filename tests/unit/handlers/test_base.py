from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from handler_kit import ready

from stoker.handlers import base, weights
from stoker.handlers.base import BaseHandler
from stoker.testing.handlers import make_context
from stoker.worker.context import Context, RequestProcessor

Eager = Callable[..., Context]


def with_header(context: Context, **headers: str) -> Context:
    context.request_processor = [RequestProcessor(dict(headers))]
    return context


# ------------------------------------------------------------------------------------------------ loading


def test_an_eager_model_answers_with_the_weights_of_the_archive(eager: Eager) -> None:
    context = eager()
    handler = ready(context)
    assert handler.handle([[1.0, 2.0], [3.0, 4.0]], context) == [[2.0, 4.0], [6.0, 8.0]]
    assert handler.initialized and not handler.model.training
    assert (handler.map_location, handler.get_device()) == ("cpu", torch.device("cpu"))


def test_an_eager_model_without_a_weights_file_keeps_its_own_numbers(eager: Eager) -> None:
    context = eager(manifest={"modelFile": "model.py"})
    assert ready(context).handle([[1.0]], context) == [[1.0]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_file_needs_no_model_file(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1, 2)), tmp_path / "model.pt")
    context = make_context(tmp_path, manifest={"serializedFile": "model.pt"})
    assert ready(context).handle([[-1.0, 2.0]], context) == [[0.0, 2.0]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("manifest", "error", "text"),
    [
        (
            {"serializedFile": "model.bin"},
            RuntimeError,
            r"No model weights could be loaded: without a model file, model\.bin would have to be \.pt",
        ),
        ({"serializedFile": "model.onnx"}, RuntimeError, r"model\.onnx needs the package onnxruntime"),
        ({"serializedFile": "model.so"}, RuntimeError, r"model\.so needs pt2: {export: {aot_compile: true}}"),
        (
            {"serializedFile": "state.pt"},
            RuntimeError,
            r"state\.pt holds no TorchScript program\. If it",
        ),
        ({}, RuntimeError, "No model weights could be loaded: the archive has neither a model file nor"),
        ({"serializedFile": "gone.pt"}, RuntimeError, "Missing the gone.pt file"),
        ({"modelFile": "gone.py"}, RuntimeError, r"Missing the model\.py file"),
        ({"modelFile": "two.py"}, ValueError, r"Expected only one class as model definition\."),
        ({"modelFile": "none.py"}, ValueError, r"Expected only one class as model definition\."),
    ],
)
def test_what_an_archive_lacks_is_named(
    tmp_path: Path, manifest: dict[str, str], error: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "ONNX_AVAILABLE", False)
    for name in ("model.bin", "model.onnx", "model.so"):
        (tmp_path / name).write_bytes(b"")
    torch.save({"weight": torch.ones(1)}, tmp_path / "state.pt")
    (tmp_path / "two.py").write_text("class A: ...\nclass B: ...\n")
    (tmp_path / "none.py").write_text("from torch.nn import Module\n")
    with pytest.raises(error, match=text):
        ready(make_context(tmp_path, manifest=manifest))


def test_the_second_model_of_a_process_gets_its_own_file_of_the_same_name(tmp_path: Path) -> None:
    """A test suite loads many archives that all have a ``model.py``."""
    answers = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.py").write_text(f"import torch\nclass M(torch.nn.Module):\n    number = {number}\n")
        answers.append(ready(make_context(folder, manifest={"modelFile": "model.py"})).model.number)
    assert answers == [1, 2]


def test_pickled_code_in_a_weights_file_does_not_run(
    eager: Eager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write a weights file must not thereby run code in the worker."""
    monkeypatch.delenv(weights.TRUST_VARIABLE, raising=False)
    context = eager()
    torch.save({"scale": Canary(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(RuntimeError, match="let the operator of the server trust"):
        ready(context)
    assert not (tmp_path / "ran").exists()


def test_the_operator_can_trust_pickled_weights(eager: Eager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.TRUST_VARIABLE, "true")
    torch.save(Canary(tmp_path / "ran"), tmp_path / "trusted.pth")
    weights.load_file(tmp_path / "trusted.pth")
    assert (tmp_path / "ran").exists()


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_weights_of_another_precision_are_copied_into_the_model(eager: Eager, tmp_path: Path) -> None:
    """Taking over the file's tensors must never change the model's own data type."""
    context = eager()
    torch.save({"scale": torch.tensor([2.0], dtype=torch.float64)}, tmp_path / "weights.pth")
    assert ready(context).model.scale.dtype is torch.float32


def test_weights_of_the_same_kind_are_the_mapped_pages_of_the_file(tmp_path: Path) -> None:
    """Workers of one model share what they do not copy."""
    model = torch.nn.Linear(64, 64)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    other = torch.nn.Linear(64, 64)
    before = other.weight.data_ptr()
    weights.load_into(other, tmp_path / "w.pth")
    assert other.weight.data_ptr() != before
    assert torch.equal(other.weight, model.weight) and other.weight.requires_grad


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(4, 4)
            self.b = torch.nn.Linear(4, 4)
            self.b.weight = self.a.weight

    torch.save(Tied().state_dict(), tmp_path / "w.pth")
    model = Tied()
    weights.load_into(model, tmp_path / "w.pth")
    assert model.a.weight is model.b.weight


def test_a_model_with_its_own_way_to_load_is_asked_in_that_way(tmp_path: Path) -> None:
    """Its method may know nothing of newer arguments."""

    class Own(torch.nn.Linear):
        def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:  # type: ignore[override]
            return super().load_state_dict({name: value * 2 for name, value in state_dict.items()}, strict)

    saved = torch.nn.Linear(2, 2)
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    model = Own(2, 2)
    weights.load_into(model, tmp_path / "w.pth")
    assert torch.equal(model.weight, saved.weight * 2)


def test_weights_in_the_old_file_format_load_too(tmp_path: Path) -> None:
    saved = torch.nn.Linear(2, 2)
    torch.save(saved.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    model = torch.nn.Linear(2, 2)
    weights.load_into(model, tmp_path / "w.pth")
    assert torch.equal(model.bias, saved.bias)


def test_gpu_number_chooses_the_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    handler = BaseHandler()
    handler._choose_device(3)
    assert (str(handler.device), handler.map_location) == ("cuda:3", "cuda")
    handler._choose_device(None)
    assert str(handler.device) == "cpu"


def test_a_gpu_number_without_a_gpu_means_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    handler = BaseHandler()
    handler._choose_device(0)
    assert str(handler.device) == "cpu"


def test_an_onnx_file_is_opened_by_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are looked up when the model loads, so tests may replace them, also through `ts`."""
    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setattr(base, "ONNX_AVAILABLE", True)
    monkeypatch.setattr("ts.torch_handler.base_handler.setup_ort_session", lambda path, where: (Path(path).name, where))
    assert ready(make_context(tmp_path, manifest={"serializedFile": "m.onnx"})).model == ("m.onnx", "cpu")


def test_an_onnx_session_predicts_from_its_first_input_to_its_first_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session:
        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="x")]

        def run(self, names: None, feed: dict[str, Any]) -> list[Any]:
            return [feed["x"] * 2, None]

    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setattr(base, "ONNX_AVAILABLE", True)
    monkeypatch.setattr(base, "setup_ort_session", lambda path, where: Session())
    handler = ready(make_context(tmp_path, manifest={"serializedFile": "m.onnx"}))
    assert handler.inference(torch.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]


def test_labels_come_from_the_archive(eager: Eager, tmp_path: Path) -> None:
    (tmp_path / "index_to_name.json").write_text(json.dumps({"0": ["n01", "cat"]}))
    assert ready(eager()).mapping == {"0": "cat"}


# ------------------------------------------------------------------------------------------------ serving


def test_the_steps_run_in_order_and_the_time_is_recorded(eager: Eager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = []

    class Steps(BaseHandler):
        def preprocess(self, data: Any) -> Any:
            seen.append("pre")
            return torch.zeros(1)

        def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append("inf")
            return data

        def postprocess(self, data: Any) -> Any:
            seen.append("post")
            return ["answer"]

    context = eager()
    assert ready(context, Steps()).handle([{}], context) == ["answer"]
    assert seen == ["pre", "inf", "post"]
    (line,) = [text for text in caplog.messages if text.startswith("[METRICS]")]
    assert (
        line.startswith("[METRICS]HandlerTime.Milliseconds:") and "|#ModelName:model,Level:Model|#type:GAUGE|" in line
    )


def test_inference_records_no_gradients(eager: Eager) -> None:
    handler = ready(eager())
    assert handler.inference(torch.ones(1)).is_inference()


def test_describe_requests_get_the_handlers_description(eager: Eager) -> None:
    class Described(BaseHandler):
        def describe_handle(self) -> Any:
            return {"inputs": 1}

    context = with_header(eager(), describe="True")
    assert ready(context, Described()).handle([{}], context) == [{"inputs": 1}]


def test_explain_requests_get_insights_for_the_wanted_target(eager: Eager) -> None:
    class Explained(BaseHandler):
        def preprocess(self, data: Any) -> Any:
            return "tensor"

        def get_insights(self, tensor_data: Any, raw_data: Any, target: Any) -> Any:
            return [(tensor_data, raw_data, target)]

    context = with_header(eager(), explain="True")
    handler = ready(context, Explained())
    assert handler.handle([{"data": b"raw", "target": 3}], context) == [("tensor", b"raw", 3)]
    assert handler.handle([{"body": b"raw"}], context) == [("tensor", b"raw", 0)]
    assert handler.explain


def test_explain_false_is_a_plain_prediction(eager: Eager) -> None:
    context = with_header(eager(), explain="False")
    assert ready(context).handle([[1.0]], context) == [[2.0]]


def test_profiled_methods_are_measured_when_the_config_says_so(eager: Eager) -> None:
    context = eager(config={"handler": {"profile": True}})
    ready(context).handle([[1.0]], context)
    names = {key.split(":")[1] for key in context.metrics.cache_keys()}
    assert {"ts_handler_preprocess", "ts_handler_inference", "ts_handler_postprocess"} <= names


def test_methods_are_not_measured_otherwise(eager: Eager) -> None:
    context = eager()
    ready(context).handle([[1.0]], context)
    assert not any("ts_handler" in key for key in context.metrics.cache_keys())


def test_the_profiler_runs_on_demand(eager: Eager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_TORCH_PROFILER", "true")
    context = eager()
    handler = ready(context)
    traces: list[Any] = []
    handler.profiler_args = {"activities": [torch.profiler.ProfilerActivity.CPU], "on_trace_ready": traces.append}
    assert handler.handle([[1.0]], context) == [[2.0]]
    assert len(traces) == 1


def test_the_log_says_where_profiles_go(
    eager: Eager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ENABLE_TORCH_PROFILER", "true")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    caplog.set_level(logging.INFO)
    context = eager(model_name="named")
    assert ready(context).handle([[1.0]], context) == [[2.0]]
    folder = tmp_path / "pytorch_profiler" / "named"
    assert f"Saving chrome trace to : {folder}" in caplog.messages and len(list(folder.iterdir())) == 1


def test_profiles_go_to_a_folder_of_the_model_alone(eager: Eager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's name must not lead out of the folder for profiles."""
    folders: list[str] = []
    monkeypatch.setattr(torch.profiler, "tensorboard_trace_handler", folders.append)
    handler = ready(eager(model_name="../../etc/m"))
    assert handler._default_profiler_args()["record_shapes"] is True
    assert Path(folders[0]).parts[-2:] == ("pytorch_profiler", "m")


def test_a_subclass_need_not_call_our_constructor(eager: Eager) -> None:
    class Own(BaseHandler):
        def __init__(self) -> None:
            self.mine = 1

    context = eager()
    assert ready(context, Own()).handle([[1.0]], context) == [[2.0]]


def test_importing_the_context_and_the_utilities_does_not_import_torch() -> None:
    modules = "ts.context, ts.handler_utils.utils, ts.utils.util, ts.metrics.dimension"
    program = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
