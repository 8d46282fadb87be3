"""The interface of gRPC engines, and the setup that each of them gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.listener import Budgets
from stoker.frontend.open_exchanges import OpenExchanges
from stoker.frontend.tls import Tls


class ConnectionAge(NamedTuple):
    """Limits a connection's age: after ``age_s`` it is asked to close, and its open calls get ``grace_s``. None: no
    limit."""

    age_s: float | None = None
    grace_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Describes one listener. ``budgets``: shared by all listeners; grpcio takes only a limit from them, because it has
    buffers of its own.  ``other_port_hint``: a sentence that names the REST address to HTTP/1.1 clients."""

    host: str
    port: int
    methods: Sequence[Method]
    open_calls: OpenExchanges
    max_message_bytes: int
    budgets: Budgets
    stall_s: float = 30.0
    tls: Tls | None = None
    connection_age: ConnectionAge = ConnectionAge()  # noqa: RUF009 - immutable
    limits: Limits = Limits()  # noqa: RUF009 - immutable
    other_port_hint: str = ""

    @property
    def target(self) -> str:
        return target(self.host, self.port)


class Engine(Protocol):
    """Runs one listener."""

    async def start(self) -> int:
        """Listens, and returns the port. Raises BindError."""
        ...

    def start_draining(self) -> None:
        """Asks clients to take new calls elsewhere."""
        ...

    async def flush(self, grace_s: float) -> None:
        """Waits up to ``grace_s`` until clients have read the answers to the calls that a drain has ended."""
        ...

    async def stop(self) -> None:
        """Ends what is still open. Call it once."""
        ...


def target(host: str, port: int) -> str:
    """Returns ``host:port`` for gRPC libraries; a ``unix:`` address is unchanged."""
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
