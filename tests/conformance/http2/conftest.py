"""The nghttp2 engine alone, with ports whose answers the test decides; each request is answered with its data."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from grpc_fakes import Ports, echo

from stoker.frontend.grpc.server import GrpcServer


@pytest.fixture
def ports() -> Ports:
    ports = Ports("nghttp2")
    ports.inference.on_submit = echo
    return ports


@pytest.fixture
async def server(ports: Ports) -> AsyncIterator[GrpcServer]:
    async with ports.server() as it:
        yield it
