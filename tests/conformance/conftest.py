"""Every test of this folder that asks for ``ports`` or ``run`` runs on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from grpc_fakes import Ports, Running, running


@pytest.fixture(params=["native", "grpcio"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def ports(engine: str) -> Ports:
    return Ports(engine)


@pytest.fixture
async def run(ports: Ports) -> AsyncIterator[Running]:
    async with running(ports) as it:
        yield it
