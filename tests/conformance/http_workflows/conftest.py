"""Workflows over real HTTP: every row of TorchServe's contract, with a registry behind it whose workers are fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from http_workflow_kit import serving
from workflow_fakes import WorkflowRig


@pytest.fixture
async def rig() -> WorkflowRig:
    return WorkflowRig()


@pytest.fixture
async def client(rig: WorkflowRig) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(rig) as it:
        yield it
