"""Starts workers: forks them from a template or spawns them, with their command line and environment.

Falls back to spawning whenever a fork is not possible.  With ``shareWeights`` the model has a template of its own,
which initialises the handler once; all workers are forked from it, unless that turns out to be unsafe.

The environment of a worker is the server's, without what the operator withholds and without the server's secrets, plus
what handlers written for TorchServe expect.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stoker.core import malloc
from stoker.core.model import ModelSpec
from stoker.core.ranks import Ranks
from stoker.core.worker_environment import model_folders, not_installed, search_path, without_secrets
from stoker.errors import ConfigurationError, WorkerDied
from stoker.ipc.fork_messages import Failed
from stoker.ipc.to_worker import Load
from stoker.pool import causes, compile_cache
from stoker.pool.child_process import ChildProcess, spawn
from stoker.pool.forking import CannotFork, Template, TemplateKey, templates
from stoker.pool.ranks import RankGroup, discard, free_port, rank_environment, rank_name
from stoker.pool.remote.placement import Launch, OnPending, Placement
from stoker.pool.repeats import Repeats
from stoker.pool.running_process import RunningProcess

log = logging.getLogger(__name__)

NEEDS_CPU = "shareWeights is for workers on the CPU: set deviceType: cpu in the model config, or leave shareWeights out"
SOURCE_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the packages stoker and ts
WORKER_MODULE = "stoker.worker.main"

_FORK_ATTEMPTS = 2
_HANDLER_PREFIX_BYTES = 256 << 10
_THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_FOR_NODES = (*_THREAD_COUNTS, malloc.VARIABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Settings shared by all workers of a server. ``give_up``: stop retrying after ``max_retry_timeout_s``.

    ``blacklist_env_vars``: a regular expression; variables whose whole name matches are withheld from workers.
    ``server_home``: comes last on the workers' search path, unless it is an installation in site-packages.
    ``worker_module``: what ``python -m`` runs; only tests change it.
    ``metrics_config``: the metrics file; None: the packaged one.
    ``compile_cache``: the parent of the models' folders (`pool.compile_cache`); None: no code is kept.
    ``template``: whether workers of models that import torch may be forked.
    """

    python: str = sys.executable
    limit_max_image_pixels: bool = True
    decode_input_request: bool = True
    max_response_bytes: int = 6_553_500
    stream_window_bytes: int = 1 << 20
    poll_us: int = 400
    give_up: bool = False
    blacklist_env_vars: str | None = None
    extra_env: Mapping[str, str] = field(default_factory=dict)
    server_home: Path = SOURCE_ROOT
    worker_module: str = WORKER_MODULE
    template: bool = True
    metrics_config: str | None = None
    compile_cache: Path | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.blacklist_env_vars or "")
        except re.error as error:
            raise ConfigurationError(f"blacklist_env_vars is not a regular expression: {error}") from None


class WorkerSpawner:
    """Starts the workers of one model. ``on_metric``: as in `pool.logs.PipeLog`, for what a template prints.
    ``placement``: starts workers on other machines; None: there are none."""

    def __init__(
        self,
        spec: ModelSpec,
        options: WorkerOptions,
        *,
        on_metric: Callable[[str], bool] = lambda line: False,
        placement: Placement | None = None,
    ) -> None:
        self._spec = spec
        self._placement = placement
        self._on_metric = on_metric
        self._options = options
        self._outputs = Repeats(), Repeats()
        self._model_template: Template | None = None
        self._shares = spec.share_weights and _can_fork(options)

    async def place(self, name: str, *, on_pending: OnPending) -> RunningProcess:
        """Starts a worker, with all its ranks, on other machines. Raises WorkerDied."""
        if self._placement is None:
            raise WorkerDied("this server has no Ray cluster")
        return await self._placement.start(launch(name, self._spec, self._options), on_pending=on_pending)

    async def start(self, name: str, *, gpu_id: int | None, workers: int) -> ChildProcess:
        """``workers``: how many share the machine's cores. Raises OSError, WorkerDied."""
        env = worker_environment(os.environ, self._spec, self._options, workers=workers)
        if self._spec.share_weights and gpu_id is not None:
            raise WorkerDied(NEEDS_CPU)
        forked = await self._fork_with_weights(name, env) if self._shares else None
        forked = forked or await self._fork(name, env)
        if forked is not None:
            return forked
        spawned = self._spawn(name, env)
        if workers > 1 and mentions_torch(self._spec):
            self.torch_is_used()  # the other workers wait for the template, which takes less time than if all import it
        return spawned

    async def start_ranks(self, name: str, ranks: Ranks, *, devices: Mapping[str, str], workers: int) -> RankGroup:
        """Starts all processes of a worker, or none. ``devices``: the variable that shows them GPUs. Raises OSError."""
        env = {**worker_environment(os.environ, self._spec, self._options, workers=workers), **devices}
        port = free_port() if ranks.processes > 1 else 0
        started: list[ChildProcess] = []
        try:
            for rank in range(ranks.processes):
                own = rank_environment(rank, ranks, port=port, run_id=f"{self._spec.key.name}_{port}")
                started.append(self._spawn(rank_name(name, rank), {**env, **own}))
        except BaseException:
            discard(started)
            raise
        return RankGroup(started)

    def torch_is_used(self) -> None:
        """Prepares a template, because the workers of this model import torch."""
        if not self._shares:
            prepare_template(self._options)

    async def close(self) -> None:
        if self._model_template is not None:
            await self._model_template.close()

    # ---------------------------------------------------------------------------------------- ordinary workers

    def _spawn(self, name: str, env: dict[str, str]) -> ChildProcess:
        options = self._options

        def command(socket_fd: int, progress_fd: int) -> list[str]:
            return worker_command(options, socket_fd=socket_fd, progress_fd=progress_fd, name=name)

        return spawn(command, cwd=self._spec.model_dir, env=env)

    async def _fork(self, name: str, env: dict[str, str]) -> ChildProcess | None:
        template = await ready_template(self._options)
        if template is None:
            return None
        try:
            return await template.fork(name=name, cwd=self._spec.model_dir, env=env)
        except CannotFork as error:
            log.info("Worker %s is spawned, not forked: %s", name, error, extra={"event": "not_forked"})
            return None

    # ---------------------------------------------------------------------------------------- shared weights

    async def _fork_with_weights(self, name: str, env: dict[str, str]) -> ChildProcess | None:
        """Forks a worker from the model's own template; None: the weights cannot be shared."""
        for _ in range(_FORK_ATTEMPTS):
            template = await self._initialised_template(env)
            if template is None:
                break
            try:
                return await template.fork(name=name, cwd=self._spec.model_dir, env=env)
            except CannotFork as error:
                if error.for_good:
                    await self._stop_sharing(str(error))
                    break
        return None

    async def _initialised_template(self, env: dict[str, str]) -> Template | None:
        """Returns the model's own template once it has loaded; None: it must not be forked. Raises WorkerDied."""
        template = self._model_template or self._start_template(env)
        spec = self._spec
        await asyncio.wait({template.prepared}, timeout=spec.startup_timeout_s)
        if not template.prepared.done():
            template.kill()
            raise WorkerDied(f"the model did not load within {spec.startup_timeout_s:g} s (startupTimeout)")
        outcome = template.prepared.result()
        if outcome is None:
            raise template.death()
        if isinstance(outcome, Failed):
            template.kill()  # the handler's threads may keep it from exiting
            raise causes.load_failure(outcome.number, outcome.message)
        if outcome.obstacle is not None:
            await self._stop_sharing(outcome.obstacle)
            return None
        return template

    def _start_template(self, env: dict[str, str]) -> Template:
        spec, options = self._spec, self._options
        label = f"W-template-{spec.key.name}_{spec.key.version}"
        process = _spawn_template(options.python, _single_threaded(env), cwd=spec.model_dir, label=label)
        for output in self._outputs:
            output.begin()
        self._model_template = Template(
            process,
            label=label,
            on_lost=self._template_lost,
            on_metric=self._on_metric,
            outputs=self._outputs,
            about={"model": spec.key.name, "version": spec.key.version},
        )
        self._model_template.start(load_message(spec, options, gpu_id=None))
        return self._model_template

    def _template_lost(self, template: Template) -> None:
        self._model_template = None

    async def _stop_sharing(self, reason: str) -> None:
        if self._shares:
            self._shares = False
            text = "Model %s is served without shared weights, by ordinary workers: after initialize(), %s"
            log.warning(text, self._spec.key, reason, extra={"event": "weights_not_shared"})
        if self._model_template is not None:
            await self._model_template.close()


def load_message(spec: ModelSpec, options: WorkerOptions, *, gpu_id: int | None) -> Load:
    return Load(
        model_name=spec.key.name,
        model_dir=spec.model_dir,
        handler=spec.handler,
        envelope=spec.envelope,
        batch_size=spec.batch_size,
        gpu_id=gpu_id,
        limit_max_image_pixels=options.limit_max_image_pixels,
        decode_input_request=options.decode_input_request,
        max_response_bytes=options.max_response_bytes,
        stream_window_bytes=options.stream_window_bytes,
        poll_us=options.poll_us if spec.ray is None or spec.ray.cpus >= 1 else 0,  # polling takes a whole core
        metrics_config=options.metrics_config,
        tensors=spec.tensors,
        warm_up=spec.warm_up,
        continuous=spec.continuous,
        asynchronous=spec.async_jobs > 0,
    )


def launch(name: str, spec: ModelSpec, options: WorkerOptions) -> Launch:
    """Describes a worker for another machine. Its environment is the node's, plus the variables of this server that
    configure workers, such as malloc's."""
    allowed = _allowed(os.environ, options.blacklist_env_vars)
    return Launch(
        name=name,
        spec=spec,
        env={key: value for key, value in allowed.items() if key in _FOR_NODES or key.startswith("TS_")},
        env_first={
            "TS_DECODE_INPUT_REQUEST": "true" if options.decode_input_request else "false",
            **options.extra_env,
        },
        withheld=options.blacklist_env_vars,
        metrics_config=options.metrics_config,
        worker_module=options.worker_module,
    )


def mentions_torch(spec: ModelSpec) -> bool:
    """Guesses from the handler's source whether the model imports torch, before any worker has run it.

    A wrong guess costs time or memory, nothing else. Handlers without a file in the archive are built-in, and import
    torch.
    """
    name = spec.handler.partition(":")[0]
    file = Path(spec.model_dir, name if name.endswith(".py") else f"{name}.py")
    try:
        with file.open("rb") as text:
            return b"torch" in text.read(_HANDLER_PREFIX_BYTES)
    except FileNotFoundError:
        return True
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------- templates


def prepare_template(options: WorkerOptions) -> None:
    """Starts the template that workers with these options share, unless it exists."""
    if _can_fork(options):
        python, env = key = _template_key(options)
        templates.prepare(key, lambda: _spawn_template(python, dict(env), cwd=str(SOURCE_ROOT), label="template"))


async def ready_template(options: WorkerOptions) -> Template | None:
    """Returns the shared template; None: spawn the worker. Waits for one in preparation: spawning takes longer."""
    return await templates.get(_template_key(options)) if _can_fork(options) else None


def _can_fork(options: WorkerOptions) -> bool:
    """Tells whether workers can be forked, which takes pidfds, `/proc` and our own worker module."""
    return options.template and options.worker_module == WORKER_MODULE and hasattr(os, "pidfd_open")


def _template_key(options: WorkerOptions) -> TemplateKey:
    return options.python, tuple(sorted(template_environment(os.environ, options).items()))


def _spawn_template(python: str, env: dict[str, str], *, cwd: str, label: str) -> ChildProcess:
    def command(socket_fd: int, progress_fd: int) -> list[str]:
        return [python, "-u", "-m", WORKER_MODULE, "--template-fd", str(socket_fd), "--name", label]

    return spawn(command, cwd=cwd, env=env, kind=socket.SOCK_SEQPACKET)


# ----------------------------------------------------------------------------------- command and environment


def worker_command(options: WorkerOptions, *, socket_fd: int, progress_fd: int, name: str) -> list[str]:
    arguments = ["--socket-fd", str(socket_fd), "--progress-fd", str(progress_fd), "--name", name]
    return [options.python, "-u", "-m", options.worker_module, *arguments]


def template_environment(inherited: Mapping[str, str], options: WorkerOptions) -> dict[str, str]:
    """Makes an environment without a model, for a single thread: a process with several cannot be forked safely."""
    env = _allowed(inherited, options.blacklist_env_vars)
    env["PYTHONPATH"] = os.pathsep.join(
        filter(None, [inherited.get("PYTHONPATH", ""), *not_installed((options.server_home, SOURCE_ROOT))])
    )
    env.update(options.extra_env)
    return _single_threaded(env)


def _single_threaded(env: Mapping[str, str]) -> dict[str, str]:
    return {**env, **dict.fromkeys(_THREAD_COUNTS, "1")}


def worker_environment(
    inherited: Mapping[str, str], spec: ModelSpec, options: WorkerOptions, *, workers: int, cores: int | None = None
) -> dict[str, str]:
    """Makes the environment of a worker. ``workers``: how many of this model share ``cores`` (default: all usable)."""
    env = _allowed(inherited, options.blacklist_env_vars)
    if not any(name in env for name in _THREAD_COUNTS):  # if the operator sets one, none is added
        share = str(max(1, (cores or usable_cores()) // max(1, workers)))
        env.update(dict.fromkeys(_THREAD_COUNTS, share))
    env["PYTHONPATH"] = _python_path(inherited.get("PYTHONPATH", ""), spec, options)
    if compile_cache.VARIABLE not in env:
        env.update(compile_cache.environment(options.compile_cache, spec))
    env["TS_DECODE_INPUT_REQUEST"] = "true" if options.decode_input_request else "false"
    env.update(options.extra_env)
    return env


def _allowed(inherited: Mapping[str, str], blacklist: str | None) -> dict[str, str]:
    return without_secrets({**inherited, malloc.VARIABLE: malloc.for_worker(inherited)}, blacklist)


def _python_path(inherited: str, spec: ModelSpec, options: WorkerOptions) -> str:
    folders = model_folders(spec.model_dir, in_place=spec.in_place)
    homes = (options.server_home, SOURCE_ROOT)
    return os.pathsep.join(search_path(inherited, handler=spec.handler, folders=folders, homes=homes))


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
