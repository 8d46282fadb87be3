"""Checks the contents of an archive: manifest, model-config.yaml, handler source.

PURE. Parses texts, never runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.archive.contents import BUILTIN_HANDLERS
from stoker.archive.manifest import Manifest
from stoker.archive.names import shown
from stoker.config import yaml_file
from stoker.config.model_config import ModelConfig
from stoker.config.model_keys import BY_NAME
from stoker.config.settings import Settings
from stoker.errors import InvalidArchive
from stoker.migrate import findings, sources, ts_names
from stoker.migrate.archives import Contents
from stoker.migrate.findings import Finding, Remark, Remarks, Verdict, changed, unsupported

AREA = "models"
_SENDS_PARTS = b"send_intermediate_predict_response"
_UNSUPPORTED_HANDLERS = {"ts.torch_handler.trt_llm_handler", "ts.torch_handler.dali_image_classifier"}


def check(file: str, contents: Contents, settings: Settings) -> list[Finding]:
    """Returns at least one finding. ``file``: the name in the model store."""
    try:
        manifest = contents.manifest
        _check_identity(manifest)
    except InvalidArchive as error:
        return [Finding(AREA, file, Verdict.UNSUPPORTED, f"It cannot be loaded: {error}")]
    found = [
        *_handler(manifest, contents, settings),
        *_files(manifest, contents),
        *_requirements(manifest, settings),
        *_config(manifest, contents, settings),
        *sources.check(_module(manifest.handler or ""), contents),
    ]
    return findings.of_archive(AREA, file, found)


def _check_identity(manifest: Manifest) -> None:
    """Raises InvalidArchive. At start, a missing name is made from the file's name."""
    runtime = manifest.effective(default_model_name="unnamed").runtime
    if runtime == "LSP":
        raise InvalidArchive("its runtime is LSP, the C++ backend. Pack the model with a Python handler.")


def _handler(manifest: Manifest, contents: Contents, settings: Settings) -> Remarks:
    handler = manifest.handler or settings.default_service_handler
    if handler is None:
        yield unsupported("It names no handler: a registration must name one, or default_service_handler must.")
        return
    module = _module(handler)
    if module in BUILTIN_HANDLERS or module.startswith("ts."):
        name = module if module.startswith("ts.") else f"ts.torch_handler.{module}"
        if name in _UNSUPPORTED_HANDLERS or not ts_names.has_module(name):
            yield unsupported(f"The handler {shown(handler)} is not supported: pack one of your own.")
    elif f"{module}.py" not in {name.rpartition("/")[2] for name in contents.names}:
        yield changed(
            f"The handler {shown(handler)} is not in the archive: it must be importable in the new environment."
        )


def _module(handler: str) -> str:
    return handler.partition(":")[0].rpartition("/")[2].removesuffix(".py")


def _files(manifest: Manifest, contents: Contents) -> Remarks:
    named = (manifest.serialized_file, manifest.model_file, manifest.requirements_file, manifest.config_file)
    for name in named:
        if name is not None and name not in contents.names:
            yield unsupported(f"It names a file that it does not hold: {shown(name)}. Pack it again.")
    if manifest.model_file and manifest.serialized_file:
        yield changed(
            f"{shown(manifest.serialized_file)} is read with weights_only=True by BaseHandler: it must hold tensors, "
            "not pickled objects."
        )


def _requirements(manifest: Manifest, settings: Settings) -> Remarks:
    name = manifest.requirements_file
    if name is not None and not settings.install_py_dep_per_model:
        yield changed(
            f"{shown(name)} is not installed, as in TorchServe (install_py_dep_per_model is not true): the new "
            "environment must have those packages."
        )


# ------------------------------------------------------------------------------------- model-config.yaml


def _config(manifest: Manifest, contents: Contents, settings: Settings) -> Remarks:
    name = manifest.config_file
    if name is None or name not in contents.names:
        return
    if name not in contents.texts:
        yield unsupported(f"{shown(name)} is too large to be a configuration.")
        return
    try:
        document = yaml_file.parse(contents.texts[name], name=shown(name))
        config = ModelConfig.of(document, name=shown(name))
    except InvalidArchive as error:
        yield unsupported(str(error))
        return
    if isinstance(document, dict):
        for remark in (*_config_keys(document, config, settings), *_streams(config, contents)):
            yield remark._replace(where="model-config.yaml")


def _config_keys(document: Mapping[str, Any], config: ModelConfig, settings: Settings) -> Remarks:
    if config.contradiction is not None:
        yield unsupported(f"It is refused at registration: {config.contradiction}")
    fewest, most = config.min_workers, config.max_workers
    if fewest is not None and most is not None and most < fewest:
        yield unsupported(f"maxWorkers {most} is less than minWorkers {fewest}: correct it.")
    if config.autoscale:
        yield changed(
            "autoscale takes effect: the load decides how many workers run between minWorkers and maxWorkers."
        )
    wrong = [name for name, key in BY_NAME.items() if name in document and getattr(config, key.field) is None]
    if wrong:
        yield Remark(Verdict.SAME, f"Ignored, as in TorchServe, because of the value: {', '.join(wrong)}.")
    if (config.batch_size or 1) > 1 and config.batching is None:
        yield changed("maxBatchDelay is a maximum: an idle worker takes what waits. batching: fixed restores the wait.")
    if (
        config.response_timeout_s is None
        and settings.default_response_timeout_s != Settings().default_response_timeout_s
    ):
        yield changed("Without responseTimeout it has default_response_timeout, where TorchServe takes 120 s.")


def _streams(config: ModelConfig, contents: Contents) -> Remarks:
    streams = any(name.endswith(".py") and _SENDS_PARTS in text for name, text in contents.texts.items())
    shares = config.stream_batching is not None or config.continuous_batching
    if streams and (config.batch_size or 1) > 1 and not shares:
        yield changed(
            "A StreamPredictions request is a batch of its own, where TorchServe lets such requests share one. "
            "streamBatching: true restores that, for handlers that compute a batch together."
        )
