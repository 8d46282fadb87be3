"""The interface of gRPC engines, and what every engine is given."""

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
    """A connection older than ``age_s`` is asked to close; its open calls get ``grace_s``. ``None``: no limit."""

    age_s: float | None = None
    grace_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One listener. ``budgets``: shared by all listeners; for grpcio only a limit, because its
    buffers are its own.  ``elsewhere``: the sentence that names the port of other protocols to their clients."""

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
    elsewhere: str = ""

    @property
    def target(self) -> str:
        return target(self.host, self.port)


class Engine(Protocol):
    """Runs one listener. `start` raises `BindError`; `stop` ends what is still open and may be called once."""

    async def start(self) -> int:
        """Listens and returns the port."""
        ...

    def start_draining(self) -> None:
        """Asks clients to take new calls elsewhere."""
        ...

    async def flush(self, grace_s: float) -> None:
        """Waits up to ``grace_s`` until clients have read the answers of a drain, whose calls have ended."""
        ...

    async def stop(self) -> None: ...


def target(host: str, port: int) -> str:
    """Returns ``host:port`` for gRPC libraries; a ``unix:`` address is unchanged."""
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
