"""Workflows over gRPC on both engines, with a registry behind it whose workers are fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from grpc_workflow_kit import Client, serving
from workflow_fakes import WorkflowRig


@pytest.fixture
async def rig() -> WorkflowRig:
    return WorkflowRig()


@pytest.fixture
async def client(rig: WorkflowRig, engine: str) -> AsyncIterator[Client]:
    async with serving(rig, engine) as it:
        yield it
