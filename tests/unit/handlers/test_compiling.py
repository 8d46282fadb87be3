"""The section pt2 of a model's config: what is compiled, and what a missing part of it costs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from handler_kit import ready

from stoker.handlers import base, compiling
from stoker.handlers.base import BaseHandler
from stoker.testing.handlers import make_context
from stoker.worker.context import Context

Eager = Callable[..., Context]


@pytest.mark.parametrize("section", [["inductor"], 5])
def test_a_pt2_section_of_another_kind_is_refused(eager: Eager, section: Any) -> None:
    with pytest.raises(ValueError, match="pt2 should be str or dict"):
        BaseHandler().initialize(eager(config={"pt2": section}))


def test_a_compiled_library_is_loaded_only_where_the_config_says_so(tmp_path: Path) -> None:
    class Aot(BaseHandler):
        def _load_torch_export_aot_compile(self, model_so_path: str) -> Any:
            return Path(model_so_path).name

    (tmp_path / "m.so").write_bytes(b"")
    manifest = {"serializedFile": "m.so"}
    config = {"pt2": {"export": {"aot_compile": True}}}
    assert ready(make_context(tmp_path, manifest=manifest, config=config), Aot()).model == "m.so"
    with pytest.raises(RuntimeError, match="No model weights"):
        ready(make_context(tmp_path, manifest=manifest), Aot())


@pytest.mark.parametrize(
    ("section", "options"),
    [
        (None, None),
        ("eager", {"backend": "eager"}),
        ({"mode": "reduce-overhead"}, {"mode": "reduce-overhead"}),
        ({"compile": {"enable": True, "backend": "aot_eager"}}, {"backend": "aot_eager"}),
        ({"compile": {"enable": True}}, {}),
        ({"compile": {"enable": False, "backend": "inductor"}}, None),
        ({"compile": None}, None),
        ({"export": {"aot_compile": True}}, None),
        ({}, None),
    ],
)
def test_all_spellings_of_the_pt2_section_are_understood(section: Any, options: Any) -> None:
    assert compiling.options_of(section) == options


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"backend": "eager", "dynamic": True}, "Compiled model with backend eager, dynamic True"),
        ({"dynamic": True, "backend": "eager"}, "Compiled model with dynamic True, backend eager"),
        (
            {"backend": "eager", "no_such": 1},
            "Compiling model model with backend eager, no_such 1 has failed \n Proceeding without compilation",
        ),
    ],
)
def test_the_log_says_what_became_of_compiling_as_torchserves_does(
    eager: Eager, caplog: pytest.LogCaptureFixture, options: dict[str, object], line: str
) -> None:
    caplog.set_level("INFO")
    BaseHandler().initialize(eager(config={"pt2": {"compile": {"enable": True, **options}}}))
    assert line in caplog.messages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a package that can be imported, in the place of one that is not installed here."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def make(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("source", "warns"), [("", False), ("raise ImportError('no libnvinfer.so')", True)])
def test_operators_of_tensorrt_are_known_before_a_script_is_loaded(
    tmp_path: Path, package: Any, caplog: pytest.LogCaptureFixture, source: str, warns: bool
) -> None:
    package("torch_tensorrt", source)
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1, 2)), tmp_path / "model.pt")
    ready(make_context(tmp_path, manifest={"serializedFile": "model.pt"}))
    assert ("torch_tensorrt" in sys.modules) is not warns
    assert ("torch_tensorrt cannot be imported: no libnvinfer.so" in caplog.text) is warns
    sys.modules.pop("torch_tensorrt", None)


def test_ipex_gets_the_model_in_channels_last_where_nothing_else_compiles(
    eager: Eager, package: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    package(
        "intel_extension_for_pytorch", "seen = []\ndef optimize(model):\n    seen.append(model)\n    return model\n"
    )
    monkeypatch.setattr(base, "IPEX_AVAILABLE", True)
    formats = []
    to = torch.nn.Module.to
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *a, **k: formats.append(k) or to(self, *a, **k))
    assert ready(eager()).model is sys.modules["intel_extension_for_pytorch"].seen[0]
    assert {"memory_format": torch.channels_last} in formats
    assert "Compiled model with ipex" in caplog.messages
    sys.modules.pop("intel_extension_for_pytorch", None)


@pytest.mark.parametrize(("backend", "name"), [("openvino", "openvino"), ("torchxla_trace_once", "torch_xla")])
def test_the_package_of_a_backend_that_is_missing_costs_only_the_compilation(
    eager: Eager, caplog: pytest.LogCaptureFixture, backend: str, name: str
) -> None:
    context = eager(config={"pt2": {"compile": {"enable": True, "backend": backend}}})
    assert ready(context).handle([[1.0]], context) == [[2.0]]
    assert f"No module named '{name}'" in caplog.text


@pytest.mark.parametrize("section", [{"compile": True}, {"compile": "inductor"}, {"compile": [1]}])
def test_a_compile_section_of_another_kind_is_refused_with_an_example(section: Any) -> None:
    with pytest.raises(ValueError, match="compile in pt2 should be a dict, such as"):
        compiling.options_of(section)


def test_without_a_compiler_the_model_runs_uncompiled_and_the_log_says_what_is_missing(
    eager: Eager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-c++")
    context = eager(config={"pt2": {"compile": {"enable": True}}})
    handler = ready(context)
    assert not isinstance(handler.model, torch._dynamo.eval_frame.OptimizedModule)
    assert handler.handle([[1.0]], context) == [[2.0]]
    sentence = "inductor needs a C++ compiler, and there is no no-such-c++ (CXX may name another one)"
    assert f"pt2: {sentence}. The model runs uncompiled." in caplog.messages


def test_only_inductor_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert compiling.obstacle({"backend": "aot_eager"}, torch.device("cpu")) is None
    assert "C++" in (compiling.obstacle({}, torch.device("cpu")) or "")
    assert "no gcc" in (compiling.obstacle({"backend": "inductor"}, torch.device("cuda")) or "")


def test_a_compiled_model_answers_the_same(eager: Eager) -> None:
    context = eager(config={"pt2": {"compile": {"enable": True, "backend": "eager"}}})
    handler = ready(context)
    assert isinstance(handler.model, torch._dynamo.eval_frame.OptimizedModule)
    assert handler.handle([[1.0]], context) == [[2.0]]


@pytest.mark.parametrize("backend", ["no_such_backend", "ofi"])
def test_a_backend_that_does_not_work_costs_only_a_warning(
    eager: Eager, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = eager(config={"pt2": backend})
    with caplog.at_level(logging.WARNING):
        assert ready(context).handle([[1.0]], context) == [[2.0]]
    assert caplog.records
