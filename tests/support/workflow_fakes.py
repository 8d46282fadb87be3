"""Replaces workflow archives in unit tests; models, workers and schedulers are those of `registry_fakes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from registry_fakes import FakeScheduler, World

from stoker import errors
from stoker.archive.store import Unpacked, UnpackedWorkflow
from stoker.archive.workflow_manifest import WorkflowManifest
from stoker.config.settings import Settings
from stoker.core.job import Input
from stoker.core.reply import ReplyStream
from stoker.core.workflows import RegisterWorkflowRequest
from stoker.workflows.service import Workflows

INPUTS = [Input("data", "", b"x")]
TWO_FUNCTIONS: dict[str, Any] = {"models": {}, "dag": {"pre": ["post"]}}
DIAMOND: dict[str, Any] = {
    "models": {"m1": {"url": "a.mar"}, "m2": {"url": "b.mar", "max-workers": 3}},
    "dag": {"pre": ["m1", "m2"], "m1": ["post"], "m2": ["post"]},
}


class FakeWorkflowStore:
    """``archives``: specifications by url, e.g. ``w.war``."""

    def __init__(self, archives: dict[str, Any]) -> None:
        self.archives = archives
        self.unpacked: list[UnpackedWorkflow] = []
        self.discarded: list[UnpackedWorkflow] = []
        self.from_operator: list[bool] = []

    async def fetch_and_unpack(
        self, url: str, *, from_operator: bool = False, for_s3: bool = False
    ) -> UnpackedWorkflow:
        self.from_operator.append(from_operator)
        if url not in self.archives:
            raise errors.WorkflowArchiveNotFound(url=url)
        manifest = WorkflowManifest(
            workflow_name=url.removesuffix(".war"),
            spec_file="spec.yaml",
            handler="handler.py",
            archiver_version="1",
            created_on="today",
            specification=yaml.safe_dump(self.archives[url], sort_keys=False).encode(),
        )
        unpacked: UnpackedWorkflow = Unpacked(
            manifest=manifest, model_dir=Path("/war"), root=Path("/war"), url=url, file_name=url
        )
        self.unpacked.append(unpacked)
        return unpacked

    def discard(self, unpacked: UnpackedWorkflow, *, delete_download: bool) -> None:
        self.discarded.append(unpacked)

    def startup_names(self) -> list[str]:
        return sorted(self.archives)

    @property
    def left(self) -> int:
        return len(self.unpacked) - len({id(each) for each in self.discarded})


class WorkflowRig:
    """Workflows over a registry with fakes around it."""

    def __init__(self, *, snapshots: Any = None, **settings: Any) -> None:
        self.world = World(snapshots=snapshots, **settings)
        self.store = FakeWorkflowStore({"two.war": TWO_FUNCTIONS, "diamond.war": DIAMOND})
        self.workflows = Workflows(
            settings=Settings(**settings),
            registry=self.world.registry,
            store=self.store,  # type: ignore[arg-type]
            clock=self.world.clock,
        )
        self.registry = self.world.registry
        self.registry.attach(self.workflows)

    async def register(self, url: str = "two.war", **values: Any) -> str:
        """Registers a workflow of the store; ``values``: what the request says besides its url."""
        return await self.workflows.register_workflow(RegisterWorkflowRequest(url=url, **values))

    def submit(self, name: str, *, version: str | None = None, streaming: bool = False) -> ReplyStream:
        return self.registry.submit(name, version, INPUTS, streaming=streaming)

    def knows(self, name: str) -> bool:
        """Tells whether a model or a workflow takes requests by this name."""
        try:
            self.submit(name)
        except errors.ModelNotFound:
            return False
        return True

    def node(self, model: str) -> FakeScheduler:
        """Returns the scheduler of a node, e.g. ``two__pre``."""
        return self.world.schedulers[f"{model}/1.0"]

    def models(self) -> set[str]:
        """Names of all registered models, functions of workflows too."""
        return {figures.key.name for figures in self.registry.figures()}


async def registered(url: str = "two.war", **settings: Any) -> WorkflowRig:
    """Returns a rig with one workflow."""
    rig = WorkflowRig(**settings)
    await rig.register(url)
    return rig
