"""What the server asks of an engine, and the limits that both engines are given."""

from __future__ import annotations

from typing import NamedTuple, Protocol

MAX_CONCURRENT_STREAMS = 1024
"""Open calls per connection. A client that starts more waits in its own library; it can open more connections."""

MAX_METADATA_BYTES = 16 * 1024
"""Of a call's request metadata; more is refused RESOURCE_EXHAUSTED by the library."""


class ConnectionAge(NamedTuple):
    """A connection older than ``age_s`` is asked to end; its open calls have ``grace_s``. ``None``: no limit."""

    age_s: float | None = None
    grace_s: float | None = None


class Engine(Protocol):
    """One listener. `start` raises `BindError`; `stop` ends what is still open and may be called once."""

    async def start(self) -> int:
        """Listens, and returns the port."""
        ...

    def start_draining(self) -> None:
        """Asks clients to take new calls elsewhere."""
        ...

    async def stop(self) -> None: ...


def target(host: str, port: int) -> str:
    """``host:port`` as gRPC libraries want it; a ``unix:`` address stands for itself."""
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
