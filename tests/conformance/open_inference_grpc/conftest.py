"""The open inference protocol over gRPC: both package names, both engines."""

from __future__ import annotations

import pytest
from grpc_fakes import Ports, Running
from open_inference_kit import Client
from tensor_kit import CONFIGURED, ROWS, echo


@pytest.fixture
def ports(engine: str) -> Ports:
    ports = Ports(engine)
    ports.models.add("m", "1.0", ROWS)
    ports.models.add("m", "2.0", ROWS)
    ports.models.add("configured", "1.0", CONFIGURED, batch_size=4)
    ports.models.add("plain")
    ports.inference.on_submit = echo
    return ports


@pytest.fixture
def call(run: Running) -> Client:
    return Client(run)
