"""Runs the driver process: joins a Ray cluster, and places workers there for the server that started it.

It is a separate process because Ray ends its drivers when it loses the head node, and because Ray brings threads,
signal handlers and memory use.  The driver ends when the server closes the connection; Ray then ends all its actors.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence

from stoker.ipc import codec
from stoker.ipc import driver_messages as messages
from stoker.ipc.driver_messages import Begin, Failed, FromDriver, Place, Refused, Release
from stoker.ipc.frames import Decoder, FrameError
from stoker.ray.placing import Placing
from stoker.ray.view import Cluster, NoCluster

_READ_BYTES = 64 << 10

_LEAN = {
    "RAY_worker_niceness": "0",
    "RAY_prestart_worker_first_driver": "0",  # an idle interpreter for each core
    "RAY_enable_metrics_collection": "0",
    "RAY_enable_timeline": "0",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",
}
"""Ray's settings for a cluster that only this server uses: no statistics, no prestarted workers, and no lower priority
for workers than for the server."""


class Driver:
    """Carries out the server's requests. ``reader``, ``writer``: the connection to the server."""

    def __init__(self, cluster: Cluster, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._cluster = cluster
        self._reader = reader
        self._writer = writer
        self._placings: dict[int, tuple[Placing, asyncio.Task[None]]] = {}

    def send(self, message: FromDriver) -> None:
        self._writer.writelines(codec.encode(message))

    async def run(self) -> None:
        """Returns when the server has closed the connection or violated the protocol."""
        decoder = Decoder(0)
        try:
            while data := await self._reader.read(_READ_BYTES):
                for frame in decoder.feed(data):
                    self._take(messages.decode_to_driver(frame.header))
        except (FrameError, OSError) as error:
            print(f"the connection to the server is lost: {error}", file=sys.stderr)  # noqa: T201
        for _, task in list(self._placings.values()):
            task.cancel()

    def _take(self, message: messages.ToDriver) -> None:
        if isinstance(message, Place):
            self._place(message)
            return
        placing, task = self._placings.get(message.request, (None, None))
        if isinstance(message, Begin) and placing is not None:
            placing.begin(message)
        elif isinstance(message, Release) and task is not None:
            task.cancel()

    def _place(self, message: Place) -> None:
        placing = Placing(message, cluster=self._cluster, send=self.send)
        task = asyncio.get_running_loop().create_task(placing.run())
        self._placings[message.request] = placing, task
        task.add_done_callback(lambda done: self._over(message.request, done))

    def _over(self, request: int, task: asyncio.Task[None]) -> None:
        del self._placings[request]
        if not task.cancelled() and (error := task.exception()) is not None:
            print(f"a worker could not be placed: {error!r}", file=sys.stderr)  # noqa: T201
            self.send(Failed(request, f"Ray could not be asked ({type(error).__name__})"))


async def serve(sock: socket.socket, address: str) -> int:
    """Joins the cluster at ``address``, serves until the server leaves, and returns the exit code."""
    from stoker.ray.cluster import RayCluster  # noqa: PLC0415 - imports ray, which reads the environment

    reader, writer = await asyncio.open_connection(sock=sock)
    cluster = RayCluster()
    driver = Driver(cluster, reader, writer)
    try:
        driver.send(cluster.connect(address))
    except NoCluster as error:
        driver.send(Refused(str(error)))
        await writer.drain()
        return 1
    await driver.run()
    await asyncio.to_thread(cluster.disconnect)
    return 0


def environment_of(address: str, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables to set for Ray: it must not send usage reports.

    A local cluster listens only on loopback, has a token that is in no file, and starts no helpers that are not needed.
    ``given``: variables already set; those of `_LEAN` and RAY_AUTH_MODE are left as they are.
    """
    found = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == "local":
        found["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's switch for loopback only
        found |= {name: value for name, value in _LEAN.items() if name not in given}
        if "RAY_AUTH_MODE" not in given:
            found.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--address", required=True)
    options = parser.parse_args(arguments)
    os.environ.update(environment_of(options.address, os.environ))
    code = asyncio.run(serve(socket.socket(fileno=options.socket_fd), options.address))
    sys.stdout.flush()
    os._exit(code)  # Ray's threads may keep a process from exiting


if __name__ == "__main__":
    main()
