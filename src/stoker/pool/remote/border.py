"""The listener to which agents and workers on other machines connect, each with a one-time token."""

from __future__ import annotations

from typing import Any, BinaryIO, Protocol

from stoker.pool.remote.remote_process import RemoteProcess


class Bundle(Protocol):
    """A model's folder as a stream (`pool.remote.bundles`)."""

    @property
    def hash(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def name(self) -> str: ...

    def write_to(self, file: BinaryIO) -> None:
        """Blocks; called in a thread. Raises OSError when the peer is gone."""
        ...


class Expected:
    """One worker that shall connect. Ends by `process`, `lost` or `cancel`; its tokens die with it."""

    order_fields: dict[str, Any]
    """Keywords for `node.order.Order`: name, border, archive, heartbeat_s, silence_s."""

    async def process(self) -> RemoteProcess:
        """Waits until agent and worker are connected.

        Raises:
            WorkerDied: the agent reported why it could not start the worker, it was lost, or nothing came in time.
        """
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """The node or the actor is gone, says who placed it. ``reason`` names the node. Works after `process`, too."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Ends the wait; what has connected is closed. Idempotent."""
        raise NotImplementedError


class Border:
    """``host``, ``port``: where to listen; port 0: any. ``advertise``: what nodes connect to, if not ``host``."""

    def __init__(self, host: str, port: int = 0, *, advertise: str | None = None, tls: Any = None) -> None:
        self._host, self._port, self._advertise, self._tls = host, port, advertise, tls

    async def start(self) -> None:
        """Raises `BindError`."""
        raise NotImplementedError

    def expect(self, name: str, *, bundle: Bundle | None = None) -> Expected:
        """Makes the tokens of one worker. Call it once the node is there: its agent has a minute to connect."""
        raise NotImplementedError

    async def close(self) -> None:
        """Idempotent. Running workers lose their connection and end."""
        raise NotImplementedError
