"""`VLLMHandler`: serves a language model by vLLM's own OpenAI server, an ASGI application, inside the worker.

Paths, bodies, status codes and events are vLLM's.  Only ``v1/...`` is reachable: what else the application offers is
for its operator.  Needs vllm (``pip install 'stoker[vllm]'``) and ``asyncCommunication: true``.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stoker.handlers import asgi
from stoker.worker.exceptions import PredictionException

log = logging.getLogger(__name__)

_DEFAULT_PATHS = {"messages": "v1/chat/completions", "prompt": "v1/completions"}
_LAUNCHERS = ("vllm.entrypoints.launchers.app", "vllm.entrypoints.openai.api_server")
_STATES = ("vllm.entrypoints.launchers.api_server.app_state", "vllm.entrypoints.openai.api_server")
_PARSERS = ("vllm.utils.argparse_utils", "vllm.utils")
_CLI_ARGS = ("vllm.entrypoints.cli_args", "vllm.entrypoints.common.cli_args", "vllm.entrypoints.openai.cli_args")
_LORA_PATHS = ("vllm.entrypoints.openai.models.protocol", "vllm.entrypoints.openai.serving_models")


class VLLMHandler(asgi.AsgiHandler):
    def initialize(self, context: Any) -> None:
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        settings = (context.model_yaml_config or {}).get("handler") or {}
        folder = Path(context.system_properties["model_dir"])
        values = engine_values(settings, folder)
        self.app = asyncio.get_event_loop().run_until_complete(self._start(values, settings.get("adapters"), folder))

    async def _start(self, values: Mapping[str, Any], adapters: Mapping[str, str] | None, folder: Path) -> asgi.App:
        """Starts the engine and makes the application around it."""
        arguments = _arguments(values)
        if adapters:
            lora = _found("LoRAModulePath", *_LORA_PATHS)
            arguments.lora_modules = [lora(name=n, path=_inside(folder, path)) for n, path in adapters.items()]
        engine_args = _found("AsyncEngineArgs", "vllm.engine.arg_utils").from_cli_args(arguments)
        self.engine = engine = _found("AsyncLLM", "vllm.v1.engine.async_llm").from_engine_args(engine_args)
        tasks = await engine.get_supported_tasks()
        app: asgi.App = _found("build_app", *_LAUNCHERS)(arguments, tasks, engine.model_config)
        await _found("init_app_state", *_STATES)(engine, app.state, arguments, tasks)  # type: ignore[attr-defined]  # Starlette's
        return app

    def path_of(self, row: Mapping[str, Any], context: Any) -> str:
        """Returns the path, or the one that the keys of the body call for."""
        path = super().path_of(row, context).strip("/")
        body = row.get("body") if row.get("body") is not None else row.get("data")
        if not path and isinstance(body, dict):
            path = next((known for key, known in _DEFAULT_PATHS.items() if key in body), "")
        if not path.startswith("v1/"):
            raise PredictionException(f"Unknown API endpoint: {path}", 404)
        return path


def engine_values(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns vLLM's arguments by name. ``settings``: the section ``handler`` of model-config.yaml."""
    values = dict(settings.get("vllm_engine_config") or {})
    model = values.get("model") or settings.get("model_path")
    if not model:
        raise AssertionError("please define model in vllm_engine_config or model_path in handler")
    values["model"] = _inside(folder, model)
    if values["model"] != model and not values.get("served_model_name"):
        values["served_model_name"] = [model]  # clients name it as the config does, not by a path of this machine
    if template := settings.get("chat_template"):
        values["chat_template"] = _inside(folder, template)
    return values


def _inside(folder: Path, named: str) -> str:
    """Returns the file or directory of the archive that ``named`` is, else ``named`` itself."""
    try:
        return str(folder / named) if (folder / named).exists() else named
    except OSError:  # a text too long for a name: a template
        return named


def _arguments(values: Mapping[str, Any]) -> Any:
    """Returns the arguments of vLLM's server, with its own defaults for all others."""
    parser = _found("make_arg_parser", *_CLI_ARGS)(_found("FlexibleArgumentParser", *_PARSERS)())
    arguments = parser.parse_args([])
    for name, value in values.items():
        if hasattr(arguments, name):
            setattr(arguments, name, value)
        else:
            log.warning("vllm_engine_config: vllm has no argument %s: it is ignored", name)
    return arguments


def _found(name: str, *modules: str) -> Any:
    """Returns what is called ``name`` in the first of these modules that has it: vLLM moves them between releases."""
    try:
        importlib.import_module("vllm")
    except ModuleNotFoundError as error:
        raise ImportError("vllm_handler needs the package vllm: pip install 'stoker[vllm]'") from error
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise ImportError(f"this release of vllm has no {name} in {' or '.join(modules)}")
