"""Every test of this folder that asks for ``ports`` or ``run`` runs on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import wire as wires
from backend_kit import Servers, Way, servers
from grpc_fakes import Ports, Running, running
from leaks import telltale


@pytest.fixture(params=["nghttp2", "grpcio"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["tcp", "tls"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test that uses it runs over plain TCP and over TLS."""
    name: str = request.param
    monkeypatch.setattr(wires, "secured", name == "tls")
    return name


@pytest.fixture(scope="module")
def started() -> Iterator[Servers]:
    with servers() as started:
        yield started


@pytest.fixture
def way(request: pytest.FixtureRequest, started: Servers) -> Way:
    """How to ask: over one of the engines or REST; its name is the parameter."""
    return started.way(request.param)


@pytest.fixture
def ports(engine: str) -> Ports:
    return Ports(engine)


@pytest.fixture
async def run(ports: Ports) -> AsyncIterator[Running]:
    async with running(ports) as it:
        yield it


@pytest.fixture(autouse=True)
def _no_grpc_error_tells_too_much(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every error that these tests get over gRPC is searched, as `leaks.look_for_leaks` does over HTTP."""
    found: list[str] = []
    make = grpc.aio.AioRpcError.__init__

    def noted(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        if telltale(self.details() or "") is not None:
            found.append(str(self.details()))

    monkeypatch.setattr(grpc.aio.AioRpcError, "__init__", noted)
    yield
    assert found == []
