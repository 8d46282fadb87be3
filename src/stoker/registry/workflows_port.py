"""Defines what the registry needs from the workflows: it asks them about names that no model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from stoker.config.model_snapshot import SnapshotWorkflow
from stoker.core.job import Input
from stoker.core.model import ModelSpec
from stoker.core.ports import Health
from stoker.core.reply import ReplyStream
from stoker.core.sequences import Membership


class WorkflowsPort(Protocol):
    def submit(
        self,
        name: str,
        inputs: Sequence[Input],
        *,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        streaming: bool,
        alone: bool | None,
        request_id: str | None,
        tensors: bytes,
        member: Membership | None,
    ) -> ReplyStream | None:
        """Does as `InferencePort.submit`. None: no workflow has the name."""
        ...

    def model_spec(self, name: str) -> ModelSpec | None:
        """Returns the spec by which requests with tensors are served. None: no workflow has the name."""
        ...

    def has_sequences(self, name: str) -> bool: ...

    async def load_at_startup(self) -> Sequence[str]:
        """Returns the workflows that could not be loaded, as the operator named them."""
        ...

    def saved(self) -> Sequence[SnapshotWorkflow]: ...

    def health(self, name: str) -> Health: ...
