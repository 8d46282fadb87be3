"""Implements `ts.llm_launcher`: serves a language model by `vllm_handler`, from its name alone.

Packs a folder into the model store unless there is one, starts the server, waits for a signal, stops the server and
removes what it packed.  Flags and defaults are TorchServe's.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import yaml

from stoker.archive.builder import BuildRequest, build, check_name
from stoker.cli import launcher
from stoker.errors import ArchiveNotBuilt
from stoker.pool.devices import Devices

_RESPONSE_TIMEOUT_S = 1200
_NO_TRT_LLM = "Engine trt_llm is not supported: stoker has no TensorRT-LLM handler. Use --engine vllm."
_NO_VLLM = "The engine vllm is not installed: pip install 'stoker[vllm]'"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="ts.llm_launcher", description="Serve a language model with vLLM.")
    made.add_argument("--model_id", default="meta-llama/Meta-Llama-3.1-8B-Instruct", help="name or path for vLLM")
    made.add_argument("--model_name", default="model", help="name of the served model")
    made.add_argument("--model_store", default="model_store", help="folder of models; created if it is missing")
    made.add_argument("--disable_token_auth", action="store_true", help="serve without tokens")
    made.add_argument("--engine", default="vllm", help="vllm; trt_llm is not supported")
    made.add_argument("--dtype", default="bfloat16", help="for trt_llm: no effect")
    made.add_argument("--startup_timeout", type=int, default=1200, help="seconds until the model must be loaded")
    made.add_argument("--vllm_engine.max_num_seqs", dest="max_num_seqs", type=int, default=256, help="see vLLM")
    made.add_argument("--vllm_engine.max_model_len", dest="max_model_len", type=int, help="see vLLM")
    made.add_argument("--vllm_engine.download_dir", dest="download_dir", help="where vLLM keeps what it downloads")
    for flag, kind, value in (("max_batch_size", int, 4), ("kv_cache_free_gpu_memory_fraction", float, 0.1)):
        made.add_argument(f"--trt_llm_engine.{flag}", dest=flag, type=kind, default=value, help="no effect")
    return made


def model_config(options: argparse.Namespace, gpus: int) -> dict[str, Any]:
    """Returns the content of model-config.yaml."""
    engine: dict[str, Any] = {"max_num_seqs": options.max_num_seqs, "tensor_parallel_size": max(gpus, 1)}
    if options.max_model_len is not None:
        engine["max_model_len"] = options.max_model_len
    if options.download_dir is not None:
        engine["download_dir"] = str(Path(options.download_dir).resolve())
    return {
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 1,
        "maxBatchDelay": 100,
        "responseTimeout": _RESPONSE_TIMEOUT_S,
        "startupTimeout": options.startup_timeout,
        "deviceType": "gpu",
        "asyncCommunication": True,
        "handler": {"model_path": options.model_id, "vllm_engine_config": engine},
    }


def pack(options: argparse.Namespace, gpus: int) -> Path | None:
    """Packs the model into the store. Returns its folder; None if there was one already. Raises ArchiveNotBuilt."""
    check_name(options.model_name)
    store = Path(options.model_store)
    store.mkdir(parents=True, exist_ok=True)
    folder = store / options.model_name
    if folder.exists():
        return None
    with tempfile.TemporaryDirectory() as name:
        config = Path(name, "model-config.yaml")
        config.write_text(yaml.safe_dump(model_config(options, gpus), sort_keys=False), encoding="utf-8")
        request = BuildRequest(
            model_name=options.model_name,
            handler="vllm_handler",
            version="1.0",
            export_path=str(store),
            archive_format="no-archive",
            config_file=str(config),
        )
        return build(request)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status once a signal has stopped the server, or it has ended by itself."""
    options = parser().parse_args(argv)
    if options.engine != "vllm":
        print(_NO_TRT_LLM if options.engine == "trt_llm" else "Unsupported LLM Engine", file=sys.stderr)
        return 2
    if importlib.util.find_spec("vllm") is None:
        print(_NO_VLLM, file=sys.stderr)
        return 1
    try:
        packed = pack(options, Devices.detect().count)
    except ArchiveNotBuilt as error:
        print(error, file=sys.stderr)
        return 1
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _serve(options)
    finally:
        signal.signal(signal.SIGTERM, before)
        if packed is not None:
            shutil.rmtree(packed, ignore_errors=True)


def _serve(options: argparse.Namespace) -> int:
    try:
        lines = launcher.start(
            model_store=options.model_store,
            no_config_snapshots=True,
            models=options.model_name,
            disable_token=options.disable_token_auth,
        )
        while lines.get() is not None:
            pass
    except KeyboardInterrupt:
        launcher.stop()
        return 0
    return 1  # it ended by itself


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
