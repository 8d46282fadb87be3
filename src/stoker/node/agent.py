"""Runs one worker on a node for a server on another machine: starts it, reports on it, and leaves nothing behind.

Does not depend on who placed it there.  Invariants: the worker's process group ends with the agent, with the connection
to the server, and when the server is silent for too long; the agent reports the worker's end before it exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from stoker.archive.threads import Stop, Stopped
from stoker.core.worker_environment import model_folders, search_path, without_secrets
from stoker.errors import StokerError, WorkerDied
from stoker.ipc.agent_messages import Connect, Exited, Refused, Started, encode_connect
from stoker.ipc.dialing import dial
from stoker.ipc.opening import Kind
from stoker.node import fetching
from stoker.node import order as orders
from stoker.node.order import Order
from stoker.node.server_link import ServerLink
from stoker.node.worker_output import WorkerOutput
from stoker.pool import causes
from stoker.pool.child_process import ChildProcess, spawn
from stoker.pool.out_of_memory import memory_kills
from stoker.pool.progress import progress_of
from stoker.pool.watchdog import watchdog

log = logging.getLogger(__name__)

SOURCE_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the packages stoker and ts

_KILL_WAIT_S = 10.0


def run(order: bytes, *, node: str) -> None:
    """Carries out the order; returns when the worker is gone. ``node``: its name in messages: ``gpu-3 (10.0.0.7)``.

    Does not raise if the worker fails: that is reported to the server.

    Raises: WorkerDied: the order is from another version of stoker; OSError: the server cannot be reached.
    """
    asyncio.run(Agent(orders.decode(order), node).run())


class Agent:
    def __init__(self, order: Order, node: str) -> None:
        self._order = order
        self._node = node

    async def run(self) -> None:
        order, border = self._order, self._order.border
        dialed = await asyncio.to_thread(
            dial, border.host, border.port, Kind.AGENT, border.agent_token, ca=border.ca, tls_name=border.tls_name
        )
        server = ServerLink(dialed.stream, heartbeat_s=order.heartbeat_s, silence_s=order.silence_s)
        server.start(self._node)
        watchdog.acquire()
        try:
            with tempfile.TemporaryDirectory(prefix="stoker-agent-") as folder:
                await self._serve(server, Path(folder))
        finally:
            await server.close()
            await watchdog.release()

    async def _serve(self, server: ServerLink, folder: Path) -> None:
        try:
            async with self._model_dir(server) as model_dir:
                memory_kills_before = memory_kills.count()
                child = self._spawn(model_dir, folder)
                try:
                    await self._supervise(child, server, memory_kills_before)
                finally:
                    child.close()
        except StokerError as error:
            server.send(Refused(str(error)))
        except Stopped:
            pass  # the server is gone
        except OSError as error:
            server.send(Refused(f"the process could not be started: {error.strerror}"))

    @contextlib.asynccontextmanager
    async def _model_dir(self, server: ServerLink) -> AsyncIterator[str]:
        """Yields the model's folder, and keeps it while the worker uses it. Stops fetching when the server is gone.

        Raises: FilesNotFetched, Stopped.
        """
        order = self._order
        if order.model_dir is not None:
            yield order.model_dir
            return
        if order.archive is None:
            raise WorkerDied("the order names no model")
        stop = Stop()
        server.gone.add_done_callback(lambda _: stop.set())
        with contextlib.ExitStack() as held:
            lease = fetching.lease(order, order.archive, stop)
            yield str(await asyncio.to_thread(held.enter_context, lease))

    # ---------------------------------------------------------------------------------------- the worker

    def _spawn(self, model_dir: str, folder: Path) -> ChildProcess:
        """Starts the worker. Passes its token over the inherited socket, because others can read command lines."""
        order, border = self._order, self._order.border
        connect = Connect(
            host=border.host,
            port=border.port,
            ca=border.ca,
            tls_name=border.tls_name,
            token=border.worker_token,
            model_dir=model_dir,
            metrics_config=_written(order.metrics_config, folder / "metrics.yaml"),
        )

        def command(socket_fd: int, progress_fd: int) -> list[str]:
            numbers = ["--connect-fd", str(socket_fd), "--progress-fd", str(progress_fd)]
            return [order.python or sys.executable, "-u", "-m", order.worker_module, *numbers, "--name", order.name]

        child = spawn(command, cwd=model_dir, env=self._environment(model_dir))
        child.sock.sendall(encode_connect(connect))  # the socket's buffer holds it, so this does not block
        return child

    def _environment(self, model_dir: str) -> dict[str, str]:
        """Makes the worker's environment. The node's own variables win: it knows its devices, folders and cores."""
        order, inherited = self._order, without_secrets(os.environ, self._order.withheld)
        env = {**order.env, **inherited, **order.env_first}
        found = inherited.get("PYTHONPATH", "")
        folders = model_folders(model_dir, in_place=order.in_place)
        path = search_path(found, handler=order.handler, folders=folders, homes=[SOURCE_ROOT])
        return {**env, "PYTHONPATH": os.pathsep.join(path)}

    async def _supervise(self, child: ChildProcess, server: ServerLink, memory_kills_before: int) -> None:
        """Waits until the worker has ended or the server is gone, ends the worker, and reports its end."""
        outputs = [
            WorkerOutput(stream, fd, server) for stream, fd in enumerate((child.stdout_fd, child.stderr_fd), start=1)
        ]
        server.attach(child, outputs)
        server.send(Started(child.pid))
        either: set[asyncio.Future[Any]] = {child.exited, server.gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        child.kill_group()
        await asyncio.wait({child.exited}, timeout=_KILL_WAIT_S)
        for output in outputs:
            output.end()
        code = child.exited.result() if child.exited.done() else None
        killed = code is not None and causes.was_killed(code) and not server.killed
        out_of_memory = killed and memory_kills.explain(memory_kills_before)
        server.detach()
        server.send(Exited(code=code, progress=progress_of(child.progress_fd), out_of_memory=out_of_memory))


def _written(text: str | None, path: Path) -> str | None:
    if text is None:
        return None
    path.write_text(text, encoding="utf-8")
    return str(path)
