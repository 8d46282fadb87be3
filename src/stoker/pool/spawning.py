"""How the workers of one model come into being: forked from a template where there is one, else spawned.

Spawning is always right, and whatever stands in the way of a fork ends there.  With ``shareWeights`` the model has a
template of its own, which initialises it once: all workers are forked from that one, and none without it, unless it
turns out that it must not be forked.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from stoker.core.model import ModelSpec
from stoker.errors import WorkerDied
from stoker.ipc.fork_messages import Failed
from stoker.ipc.to_worker import Load
from stoker.pool import causes, environment
from stoker.pool.child_process import WorkerProcess, spawn
from stoker.pool.environment import WorkerOptions
from stoker.pool.foresight import mentions_torch
from stoker.pool.forking import CannotFork, Template
from stoker.pool.repeats import Repeats
from stoker.pool.templates import spawn_template, templates, usable

logger = logging.getLogger(__name__)

NEEDS_CPU = "shareWeights is for workers on the CPU: set deviceType: cpu in the model config, or leave shareWeights out"
_TRIES = 2


class Births:
    """``on_metric``: see `pool.logs.PipeLog`; for what a handler prints in a template."""

    def __init__(
        self, spec: ModelSpec, options: WorkerOptions, *, on_metric: Callable[[str], bool] = lambda line: False
    ) -> None:
        self._spec = spec
        self._on_metric = on_metric
        self._options = options
        self._outputs = Repeats(), Repeats()
        self._shared: Template | None = None
        self._shares = spec.share_weights and usable(options)

    async def worker(self, name: str, *, gpu_id: int | None, workers: int) -> WorkerProcess:
        """``workers``: how many share the machine's cores.

        Raises:
            OSError: there can be no process.
            WorkerDied: a model that shares its weights did not load.
        """
        env = environment.environment(os.environ, self._spec, self._options, workers=workers)
        if self._spec.share_weights and gpu_id is not None:
            raise WorkerDied(NEEDS_CPU)
        forked = await self._forked_from_model(name, env) if self._shares else None
        forked = forked or await self._forked(name, env)
        if forked is not None:
            return forked
        spawned = self._spawned(name, env)
        if workers > 1 and mentions_torch(self._spec):
            self.torch_is_used()  # the others wait for the template: sooner there than if all import torch at once
        return spawned

    def torch_is_used(self) -> None:
        """A worker of this model has imported torch, or will: so will the next one."""
        if not self._shares:
            templates.torch_is_used(self._options)

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    # ---------------------------------------------------------------------------------------- ordinary workers

    def _spawned(self, name: str, env: dict[str, str]) -> WorkerProcess:
        options = self._options

        def command(socket_fd: int, progress_fd: int) -> list[str]:
            return environment.command(options, socket_fd=socket_fd, progress_fd=progress_fd, name=name)

        return spawn(command, cwd=self._spec.model_dir, env=env)

    async def _forked(self, name: str, env: dict[str, str]) -> WorkerProcess | None:
        template = await templates.get(self._options)
        if template is None:
            return None
        try:
            return await template.fork(name=name, cwd=self._spec.model_dir, env=env)
        except CannotFork as error:
            logger.info("Worker %s is spawned, not forked: %s", name, error, extra={"event": "not_forked"})
            return None

    # ---------------------------------------------------------------------------------------- shared weights

    async def _forked_from_model(self, name: str, env: dict[str, str]) -> WorkerProcess | None:
        """None: weights cannot be shared."""
        for _ in range(_TRIES):
            template = await self._model_template(env)
            if template is None:
                break
            try:
                return await template.fork(name=name, cwd=self._spec.model_dir, env=env)
            except CannotFork as error:
                if error.for_good:
                    await self._do_not_share(str(error))
                    break
        return None

    async def _model_template(self, env: dict[str, str]) -> Template | None:
        """The one of this model, initialised. None: it must not be forked."""
        template = self._shared or self._start_template(env)
        spec = self._spec
        await asyncio.wait({template.prepared}, timeout=spec.startup_timeout_s)
        if not template.prepared.done():
            template.kill()
            raise WorkerDied(f"the model did not load (startupTimeout) within {spec.startup_timeout_s:g} s")
        outcome = template.prepared.result()
        if outcome is None:
            raise template.death()
        if isinstance(outcome, Failed):
            template.kill()  # threads of the handler may keep it
            raise causes.load_failure(outcome.number, outcome.message)
        if outcome.obstacle is not None:
            await self._do_not_share(outcome.obstacle)
            return None
        return template

    def _start_template(self, env: dict[str, str]) -> Template:
        spec, options = self._spec, self._options
        label = f"W-template-{spec.key.name}_{spec.key.version}"
        env = environment.single_threaded(env)
        process = spawn_template(options.python, env, cwd=spec.model_dir, label=label)
        for output in self._outputs:
            output.begin()
        self._shared = Template(
            process,
            label=label,
            on_lost=self._lost,
            on_metric=self._on_metric,
            outputs=self._outputs,
            about={"model": spec.key.name, "version": spec.key.version},
        )
        self._shared.start(load_message(spec, options, gpu_id=None))
        return self._shared

    def _lost(self, template: Template) -> None:
        self._shared = None

    async def _do_not_share(self, reason: str) -> None:
        if self._shares:
            self._shares = False
            text = "Model %s is served without shared weights, by ordinary workers: after initialize(), %s"
            logger.warning(text, self._spec.key, reason, extra={"event": "weights_not_shared"})
        if self._shared is not None:
            await self._shared.close()


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
        metrics_config=options.metrics_config,
    )
