"""What a worker process is started with: its command line, environment and search path.

The environment is the server's, minus what the operator withholds, minus our own secrets, plus what handlers
written for TorchServe expect.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stoker.core import malloc
from stoker.core.model import ModelSpec
from stoker.errors import ConfigurationError

_SECRETS = re.compile(r"(?:STOKER|TS)_(?:.*_)?(?:TOKEN|SECRET|PASS|PASSWORD|KEY)(?:_FILE)?")
_THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ARCHIVE_SUFFIXES = (".mar", ".model", ".tar.gz", ".tgz", ".zip")
SOURCE_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the packages stoker and ts

WORKER_MODULE = "stoker.worker.main"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What all workers of a server have in common. ``give_up``: stop for good after ``max_retry_timeout_s``.

    ``blacklist_env_vars``: a regular expression; variables whose whole name matches are withheld from workers.
    ``server_home``: put last on the workers' search path unless it is an installation in site-packages.
    ``worker_module``: what ``python -m`` runs; only tests say something else.
    ``metrics_config``: the metrics file; None: the packaged one.
    ``template``: whether further workers of models that import torch may be forked.
    """

    python: str = sys.executable
    limit_max_image_pixels: bool = True
    decode_input_request: bool = True
    max_response_bytes: int = 6_553_500
    stream_window_bytes: int = 1 << 20
    give_up: bool = False
    blacklist_env_vars: str | None = None
    extra_env: Mapping[str, str] = field(default_factory=dict)
    server_home: Path = SOURCE_ROOT
    worker_module: str = WORKER_MODULE
    template: bool = True
    metrics_config: str | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.blacklist_env_vars or "")
        except re.error as error:
            raise ConfigurationError(f"blacklist_env_vars is not a regular expression: {error}") from None


def command(options: WorkerOptions, *, socket_fd: int, progress_fd: int, name: str) -> list[str]:
    arguments = ["--socket-fd", str(socket_fd), "--progress-fd", str(progress_fd), "--name", name]
    return [options.python, "-u", "-m", options.worker_module, *arguments]


def template_command(python: str, *, socket_fd: int, name: str) -> list[str]:
    return [python, "-u", "-m", WORKER_MODULE, "--template-fd", str(socket_fd), "--name", name]


def template_environment(inherited: Mapping[str, str], options: WorkerOptions) -> dict[str, str]:
    """Nothing of any model. One thread: a process that has several is not forked."""
    env = _allowed(inherited, options.blacklist_env_vars)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [inherited.get("PYTHONPATH", ""), *_homes(options)]))
    env.update(options.extra_env)
    return single_threaded(env)


def single_threaded(env: Mapping[str, str]) -> dict[str, str]:
    return {**env, **dict.fromkeys(_THREAD_COUNTS, "1")}


def environment(
    inherited: Mapping[str, str], spec: ModelSpec, options: WorkerOptions, *, workers: int, cores: int | None = None
) -> dict[str, str]:
    """``workers``: how many share this machine's ``cores`` for this model (default: those we may run on)."""
    env = _allowed(inherited, options.blacklist_env_vars)
    if not any(name in env for name in _THREAD_COUNTS):  # one set by the operator rules the others too
        share = str(max(1, (cores or usable_cores()) // max(1, workers)))
        env.update(dict.fromkeys(_THREAD_COUNTS, share))
    env["PYTHONPATH"] = _python_path(inherited.get("PYTHONPATH", ""), spec, options)
    env["TS_DECODE_INPUT_REQUEST"] = "true" if options.decode_input_request else "false"
    env.update(options.extra_env)
    return env


def _allowed(inherited: Mapping[str, str], blacklist: str | None) -> dict[str, str]:
    denied = re.compile(blacklist) if blacklist else None
    return {
        name: value
        for name, value in {**inherited, malloc.VARIABLE: malloc.for_worker(inherited)}.items()
        if not _SECRETS.fullmatch(name) and not (denied and denied.fullmatch(name))
    }


def _python_path(inherited: str, spec: ModelSpec, options: WorkerOptions) -> str:
    """TorchServe's order: the handler's folder, what was there, the model's folder, the server's."""
    path, _, function = spec.handler.partition(":")
    parts = [str(Path(path).parent)] if function and os.sep in path else []
    parts += [inherited, spec.model_dir]
    if not spec.url.endswith(_ARCHIVE_SUFFIXES):  # a folder used in place: it may be imported as a package
        parts.append(str(Path(spec.model_dir).parent))
    return os.pathsep.join(filter(None, [*parts, *_homes(options)]))


def _homes(options: WorkerOptions) -> list[str]:
    homes = dict.fromkeys((options.server_home, SOURCE_ROOT))
    return [str(home) for home in homes if home.name not in ("site-packages", "dist-packages")]


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
