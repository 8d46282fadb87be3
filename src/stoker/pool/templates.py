"""The templates of this server: one per interpreter and environment, once a worker there was seen to import torch.

A template that cannot be prepared is not tried again: spawning goes on as if there were none.  One that is lost is
started anew when the next spawned worker reports torch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket

from stoker.ipc.fork_messages import Failed
from stoker.pool import environment
from stoker.pool.child_process import WorkerProcess, spawn
from stoker.pool.environment import SOURCE_ROOT, WORKER_MODULE, WorkerOptions
from stoker.pool.forking import Template

logger = logging.getLogger(__name__)

PREPARED_WITHIN_S = 15.0  # longer than `import torch`; who needs a worker meanwhile spawns it

Key = tuple[str, tuple[tuple[str, str], ...]]


class Templates:
    def __init__(self) -> None:
        self._templates: dict[Key, Template] = {}
        self._hopeless: set[Key] = set()
        self._users = 0

    def acquire(self) -> None:
        """Each pool that may have workers counts as one user."""
        self._users += 1

    async def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            running = list(self._templates.values())
            self._hopeless.clear()
            for template in running:
                await template.close()

    def torch_is_used(self, options: WorkerOptions) -> None:
        """Starts the template of workers with these options, unless there is one."""
        key = _key(options)
        if not self._users or not usable(options) or key in self._templates or key in self._hopeless:
            return
        python, env = key
        try:
            process = spawn_template(python, dict(env), cwd=str(SOURCE_ROOT), label="template")
        except OSError as error:
            self._give_up(key, str(error))
            return
        template = Template(process, label="template", on_lost=lambda lost: self._lost(key, lost))
        self._templates[key] = template
        template.start(None)

    async def get(self, options: WorkerOptions) -> Template | None:
        """One that forks, or None: spawn. Waits for one that is just being prepared, as that is quicker."""
        template = self._templates.get(_key(options)) if usable(options) else None
        if template is None:
            return None
        await asyncio.wait({template.prepared}, timeout=PREPARED_WITHIN_S)
        if not template.prepared.done() or not template.alive:
            return None
        outcome = template.prepared.result()
        return None if outcome is None or isinstance(outcome, Failed) or outcome.obstacle else template

    def _lost(self, key: Key, template: Template) -> None:
        del self._templates[key]
        outcome = template.prepared.result()
        if outcome is None or isinstance(outcome, Failed):
            self._give_up(key, "it ended early" if outcome is None else outcome.message)
        elif self._users:
            logger.info("The template process of workers is gone", extra={"event": "template_lost"})

    def _give_up(self, key: Key, reason: str) -> None:
        if self._users:
            self._hopeless.add(key)
            logger.warning("No template process for workers: %s", reason, extra={"event": "template_failed"})


def usable(options: WorkerOptions) -> bool:
    """A template needs pidfds and `/proc`, and it forks only our own worker."""
    return options.template and options.worker_module == WORKER_MODULE and hasattr(os, "pidfd_open")


def spawn_template(python: str, env: dict[str, str], *, cwd: str, label: str) -> WorkerProcess:
    """Raises OSError, as `process.spawn`."""

    def command(socket_fd: int, progress_fd: int) -> list[str]:
        return environment.template_command(python, socket_fd=socket_fd, name=label)

    return spawn(command, cwd=cwd, env=env, kind=socket.SOCK_SEQPACKET)


def _key(options: WorkerOptions) -> Key:
    return options.python, tuple(sorted(environment.template_environment(os.environ, options).items()))


templates = Templates()
"""Those of this server process."""
