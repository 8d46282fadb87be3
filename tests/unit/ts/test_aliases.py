"""What users write at the top of their handlers and tests, and the rules that rest on module identity."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

import ts
import ts.torch_handler.base_handler
import ts.torch_handler.image_classifier as image_classifier
from ts import model_server
from ts.arg_parser import ArgParser
from ts.torch_handler import base_handler, vision_handler
from ts.torch_handler.base_handler import BaseHandler
from ts.torch_handler.image_classifier import ImageClassifier
from ts.utils.util import list_classes_from_module

BUILT_IN = {
    "base_handler": "BaseHandler",
    "vision_handler": "VisionHandler",
    "image_classifier": "ImageClassifier",
    "object_detector": "ObjectDetector",
    "image_segmenter": "ImageSegmenter",
    "text_handler": "TextHandler",
    "text_classifier": "TextClassifier",
    "densenet_handler": "DenseNetHandler",
    "request_envelope.base": "BaseEnvelope",
    "request_envelope.body": "BodyEnvelope",
    "request_envelope.json": "JSONEnvelope",
    "request_envelope.kserve": "KServeEnvelope",
    "request_envelope.kservev2": "KServev2Envelope",
}
NAMES = [
    "ts.async_service.AsyncService",
    "ts.context.Context",
    "ts.context.RequestProcessor",
    "ts.handler_utils.hf_batch_streamer.TextIteratorStreamerBatch",
    "ts.handler_utils.micro_batching.MicroBatching",
    "ts.handler_utils.micro_batching.WorkerThread",
    "ts.handler_utils.micro_batching.execute_call",
    "ts.handler_utils.text_utils.get_tokenizer",
    "ts.handler_utils.timer.timed",
    "ts.handler_utils.utils.import_class",
    "ts.handler_utils.utils.send_intermediate_predict_response",
    "ts.metrics.metric_abstract.MetricAbstract",
    "ts.metrics.metric_cache_errors.MetricsCachePyYamlError",
    "ts.metrics.system_metrics.gpu_utilization",
    "ts.model_server.ArgParser",
    "ts.model_server.TS_NAMESPACE",
    "ts.model_server.load_properties",
    "ts.model_server.start",
    "ts.model_service.model_service.ModelService",
    "ts.model_service.model_service.SingleNodeService",
    "ts.metrics.metric_cache_abstract.MetricCacheAbstract",
    "ts.protocol.otf_message_handler.send_intermediate_predict_response",
    "ts.service.PredictionException",
    "ts.service.create_predict_response",
    "ts.torch_handler.base_handler.PROFILER_AVAILABLE",
    "ts.torch_handler.base_handler.PT2_AVAILABLE",
    "ts.torch_handler.base_handler.PT230_AVAILABLE",
    "ts.torch_handler.base_handler.XLA_AVAILABLE",
    "ts.torch_handler.base_handler.IPEX_AVAILABLE",
    "ts.torch_handler.base_handler.ONNX_AVAILABLE",
    "ts.torch_handler.base_handler.logger",
    "ts.torch_handler.base_handler.setup_ort_session",
    "ts.torch_handler.contractions.CONTRACTION_MAP",
    "ts.torch_handler.text_handler.CONTRACTIONS_PATTERN",
    "ts.torch_handler.unit_tests.models.base_model.ArgmaxModel",
    "ts.torch_handler.unit_tests.models.base_model.save_pt_file",
    "ts.torch_handler.unit_tests.test_utils.mock_context.MockContext",
    "ts.torch_handler.unit_tests.test_utils.model_dir.copy_files",
    "ts.torch_handler.unit_tests.test_utils.model_dir.download_model",
    "ts.utils.util.CLEANUP_REGEX",
    "ts.utils.util.PT2Backend",
    "ts.utils.util.PredictionException",
    "ts.utils.util.deprecated",
]


def test_all_ways_to_import_a_module_give_the_same_one() -> None:
    modules = {base_handler, ts.torch_handler.base_handler, importlib.import_module("ts.torch_handler.base_handler")}
    assert modules == {sys.modules["stoker.handlers.base"]}
    assert base_handler.BaseHandler is BaseHandler and image_classifier.ImageClassifier is ImageClassifier


@pytest.mark.parametrize("name", NAMES)
def test_users_find_what_they_import(name: str) -> None:
    module, _, member = name.rpartition(".")
    assert hasattr(importlib.import_module(module), member)


@pytest.mark.parametrize(("module", "cls"), BUILT_IN.items())
def test_a_built_in_module_defines_exactly_its_own_class(module: str, cls: str) -> None:
    """Archives name these modules as handlers; a second class in one of them would stop them all from loading."""
    found = list_classes_from_module(importlib.import_module(f"ts.torch_handler.{module}"))
    assert [each.__name__ for each in found] == [cls]


def test_a_users_module_owns_only_its_own_class() -> None:
    program = "from ts.torch_handler.image_classifier import ImageClassifier\nclass Mine(ImageClassifier): ...\n"
    module = ModuleType("handler")
    exec(program, module.__dict__)
    assert list_classes_from_module(module) == [module.Mine]


def test_a_test_that_patches_ts_patches_what_runs() -> None:
    with mock.patch("ts.torch_handler.base_handler.XLA_AVAILABLE", "patched"):
        assert sys.modules["stoker.handlers.base"].XLA_AVAILABLE == "patched"
    with mock.patch("ts.torch_handler.vision_handler.VisionHandler.get_insights", lambda *_: 1):
        assert vision_handler.VisionHandler.get_insights(None) == 1


def test_classes_survive_pickling() -> None:
    """Users pickle their handlers' parts; a class must be found under the name it carries."""
    assert pickle.loads(pickle.dumps(ImageClassifier)) is ImageClassifier
    assert pickle.loads(b"cts.torch_handler.base_handler\nBaseHandler\n.") is BaseHandler


def test_every_module_of_the_package_can_be_imported_alone_and_twice() -> None:
    for info in pkgutil.walk_packages(ts.__path__, "ts."):
        module = importlib.import_module(info.name)
        assert importlib.import_module(info.name) is module, info.name
        assert inspect.getdoc(module), info.name


def test_submodules_hang_on_their_package_after_the_import() -> None:
    program = (
        "import ts.torch_handler.request_envelope.json, ts.handler_utils.timer\n"
        "print(ts.torch_handler.request_envelope.json.JSONEnvelope.__name__, ts.handler_utils.timer.timed.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["JSONEnvelope", "timed"]


def test_a_module_that_fails_to_import_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stoker.handlers.contractions", None)
    monkeypatch.delitem(sys.modules, "ts.torch_handler.contractions", raising=False)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("ts.torch_handler.contractions")
    assert "ts.torch_handler.contractions" not in sys.modules


def test_a_script_reads_properties_and_flags_as_the_server_does(tmp_path: Path) -> None:
    file = tmp_path / "config.properties"
    file.write_text("# mine\nmodel_store = /models\nload_models=a=b.mar\n")
    assert model_server.load_properties(str(file)) == {"model_store": "/models", "load_models": "a=b.mar"}
    assert ArgParser.extract_args(["--start", "--models", "a", "b"]).models == ["a", "b"]
