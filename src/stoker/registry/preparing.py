"""Prepares a model for registration: unpacks the archive, merges values, installs requirements.

Runs without a lock, and before the catalog is changed, so that a slow download delays no other operation.
Invariant: `prepare` discards everything that it does not return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stoker.archive.manifest import Manifest, default_model_name
from stoker.archive.requirements import Installer
from stoker.archive.store import ModelStore, UnpackedModel
from stoker.config.model_config import ModelConfig
from stoker.config.settings import Settings
from stoker.core.job import ModelKey
from stoker.core.model import ModelSpec
from stoker.core.ports import RegisterRequest
from stoker.registry import merge
from stoker.registry.entry import NodeRole
from stoker.registry.merge import Machine, Sources

_VENV_FOLDER = ".stoker-venv"  # a name that is not in use in an operator's own directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """``python``: the interpreter for the model's workers. ``unpacked``: None: nothing was unpacked for it."""

    spec: ModelSpec
    unpacked: UnpackedModel | None
    python: str


class Preparer:
    def __init__(self, *, settings: Settings, store: ModelStore, machine: Machine) -> None:
        self._settings = settings
        self._store = store
        self._machine = machine

    async def prepare(
        self,
        request: RegisterRequest,
        *,
        at_startup: bool,
        check: Callable[[ModelKey], None],
        workers: tuple[int, int] | None = None,
        role: NodeRole | None = None,
    ) -> Prepared:
        """``check``: called as soon as name and version are known, and may raise. ``workers``: see `merge.Sources`.
        ``role``: of a workflow's node, whose archive is fetched at each start and so is not kept in the store.

        Raises: BadRequest, ArchiveError (all kinds), MissingDevices, and what ``check`` raises.
        """
        merge.check_request(request)
        unpacked = await self._store.fetch_and_unpack(
            request.url, from_operator=at_startup, for_s3=request.s3_sse_kms, keep=role is None
        )
        try:
            return await self._finish(request, unpacked, at_startup, check, workers, role)
        except BaseException:
            self.discard(unpacked, delete_download=True)
            raise

    def prepare_function(self, request: RegisterRequest, role: NodeRole, *, folder: Path) -> Prepared:
        """Prepares a function of a file in ``folder``, which has no manifest. Raises BadRequest."""
        sources = Sources(
            request=request,
            manifest=Manifest(),
            config=ModelConfig(),
            settings=self._settings,
            machine=self._machine,
            fewest_workers=role.min_workers,
        )
        spec = merge.model_spec(sources, url=request.url, model_dir=str(folder))
        return Prepared(spec=role.applied_to(spec), unpacked=None, python=self._settings.python)

    def discard(self, unpacked: UnpackedModel | None, *, delete_download: bool) -> None:
        if unpacked is not None:
            self._store.discard(unpacked, delete_download=delete_download)

    async def _finish(
        self,
        request: RegisterRequest,
        unpacked: UnpackedModel,
        at_startup: bool,
        check: Callable[[ModelKey], None],
        workers: tuple[int, int] | None,
        role: NodeRole | None,
    ) -> Prepared:
        manifest, default_handler = unpacked.manifest, self._settings.default_service_handler
        handler = request.handler or manifest.handler or default_handler
        await self._store.check_links(unpacked, manifest.deciding_files(handler))
        sources = Sources(
            request=request,
            manifest=manifest,
            config=await self._model_config(unpacked),
            settings=self._settings,
            machine=self._machine,
            at_startup=at_startup,
            workers=workers,
            fewest_workers=None if role is None else role.min_workers,
            fallback_name=default_model_name(unpacked.file_name) if at_startup else None,
        )
        spec = merge.model_spec(sources, url=unpacked.url, model_dir=str(unpacked.model_dir))
        if role is not None:
            spec = role.applied_to(spec)
        check(spec.key)
        return Prepared(spec=spec, unpacked=unpacked, python=await self._python(spec, unpacked))

    async def _model_config(self, unpacked: UnpackedModel) -> ModelConfig:
        """Reads model-config.yaml, if the manifest names one; it is an error if that file is missing."""
        name = unpacked.manifest.config_file
        if name is None:
            return ModelConfig()
        return await asyncio.to_thread(ModelConfig.load, unpacked.model_dir / name)

    async def _python(self, spec: ModelSpec, unpacked: UnpackedModel) -> str:
        """Returns the workers' interpreter. Runs pip only if the operator allows it, whatever the archive says."""
        may_install = self._settings.install_py_dep_per_model
        installer = Installer(python=self._settings.python)
        model, manifest, folder = spec.key.name, unpacked.manifest, unpacked.model_dir
        if spec.use_venv:
            asked = manifest if may_install else replace(manifest, requirements_file=None)
            return await installer.make_venv(
                model=model, manifest=asked, model_dir=folder, venv_dir=folder / _VENV_FOLDER
            )
        if may_install:
            await installer.install(model=model, manifest=manifest, model_dir=folder)
        return self._settings.python
