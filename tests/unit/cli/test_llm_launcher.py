"""What `ts.llm_launcher` packs, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from stoker.cli import llm_launcher
from stoker.errors import ArchiveNotBuilt


def test_the_packed_folder_is_what_torchserves_launcher_makes(tmp_path: Path) -> None:
    words = [
        "--model_store",
        str(tmp_path / "store"),
        "--model_name",
        "m",
        "--model_id",
        "org/m",
        "--startup_timeout",
        "9",
    ]
    folder = llm_launcher.pack(llm_launcher.parser().parse_args([*words, "--vllm_engine.max_model_len", "64"]), 2)
    assert folder == tmp_path / "store" / "m"
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())
    assert manifest["model"]["handler"] == "vllm_handler"
    assert manifest["model"]["modelVersion"] == "1.0"
    assert yaml.safe_load((folder / "model-config.yaml").read_text()) == {
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 1,
        "maxBatchDelay": 100,
        "responseTimeout": 1200,
        "startupTimeout": 9,
        "deviceType": "gpu",
        "asyncCommunication": True,
        "handler": {
            "model_path": "org/m",
            "vllm_engine_config": {"max_num_seqs": 256, "tensor_parallel_size": 2, "max_model_len": 64},
        },
    }


def test_without_gpus_there_is_one_rank_and_a_download_folder_is_absolute() -> None:
    options = llm_launcher.parser().parse_args(["--vllm_engine.download_dir", "here"])
    engine = llm_launcher.model_config(options, 0)["handler"]["vllm_engine_config"]
    assert engine["tensor_parallel_size"] == 1
    assert engine["download_dir"] == str(Path("here").resolve())


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert llm_launcher.pack(llm_launcher.parser().parse_args(["--model_store", str(tmp_path)]), 0) is None
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x"])
def test_a_name_that_no_folder_of_the_store_can_have_is_refused(tmp_path: Path, name: str) -> None:
    store = tmp_path / "store"
    with pytest.raises(ArchiveNotBuilt, match="Model name contains special characters"):
        llm_launcher.pack(llm_launcher.parser().parse_args(["--model_store", str(store), "--model_name", name]), 0)
    assert not store.exists()


def test_a_fraction_is_accepted_where_torchserve_wants_a_whole_number() -> None:
    options = llm_launcher.parser().parse_args(["--trt_llm_engine.kv_cache_free_gpu_memory_fraction", "0.2"])
    assert options.kv_cache_free_gpu_memory_fraction == 0.2


@pytest.mark.parametrize(
    ("engine", "status", "text"),
    [("trt_llm", 2, "no TensorRT-LLM handler"), ("other", 2, "Unsupported LLM Engine"), ("vllm", 1, "stoker[vllm]")],
)
def test_what_cannot_be_served_is_reported_before_anything_is_packed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: str,
    status: int,
    text: str,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert llm_launcher.main(["--engine", engine, "--model_store", str(tmp_path / "store")]) == status
    assert text in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
