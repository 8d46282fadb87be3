from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ts.torch_handler.base_handler import BaseHandler
from ts.torch_handler.unit_tests.test_utils.mock_context import MockContext
from ts.torch_handler.unit_tests.test_utils.model_dir import copy_files, download_model


def test_a_mock_context_carries_a_handler_through_a_request(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import torch\nclass M(torch.nn.Identity): ...\n")
    (tmp_path / "config.yaml").write_text("handler: {profile: true}")
    context = MockContext(
        model_pt_file=None, model_dir=tmp_path, model_file="model.py", gpu_id=None, model_yaml_config_file="config.yaml"
    )
    handler = BaseHandler()
    handler.initialize(context)
    assert handler.handle([[1.0]], context) == [[1.0]]
    assert handler.model_yaml_config == {"handler": {"profile": True}}


def test_a_mock_context_asks_for_explanations_on_demand() -> None:
    context = MockContext(gpu_id="1", model_name="m")
    assert context.get_request_header(0, "explain") == "False"
    context.explain = True
    assert context.get_request_header(0, "explain") == "True"
    assert context.get_request_header(0, "describe") is None
    assert context.system_properties["gpu_id"] == 1
    assert context.manifest == {"model": {"modelName": "m", "serializedFile": "model.pt", "modelFile": "model.py"}}


def test_files_are_copied_into_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    copy_files(tmp_path, tmp_path / "new" / "folder", ["a"])
    copy_files(tmp_path, tmp_path / "new", {"a": "b"})
    assert (tmp_path / "new" / "folder" / "a").read_text() == (tmp_path / "new" / "b").read_text() == "x"


def test_a_model_that_is_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked the network"))
    (tmp_path / "model.pt").write_text("x")
    assert download_model("https://example.com/m.pt", tmp_path) == str(tmp_path / "model.pt")


def test_a_download_without_a_network_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(RuntimeError, match=r"could not be downloaded.*no route"):
        download_model("https://example.com/m.pt", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://example.com/m.pt", "file:///etc/passwd"])
def test_only_https_is_downloaded(tmp_path: Path, url: str) -> None:
    with pytest.raises(RuntimeError, match="https"):
        download_model(url, tmp_path)
