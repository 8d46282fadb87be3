"""The model repository of the open inference protocol: loads and unloads the model store's archives by name."""

from __future__ import annotations

from collections.abc import Collection

from stoker.core.ports import ManagementPort, RegisterRequest, RepositoryEntry, TensorPort
from stoker.errors import (
    AlreadyRegistered,
    BadRequest,
    ModelApiDisabled,
    ModelNotFound,
    ModelVersionNotFound,
    RepositoryElsewhere,
)

_SUFFIXES = (".mar", "")


class Repository:
    """Serves the repository. ``served``: False on a listener that only says where else it is served. ``workers``: their
    number for a model that is loaded, unless its config says otherwise."""

    def __init__(
        self,
        management: ManagementPort,
        models: TensorPort,
        *,
        workers: int,
        model_api_enabled: bool,
        served: bool = True,
    ) -> None:
        self._management = management
        self._models = models
        self._workers = max(1, workers)
        self._model_api_enabled = model_api_enabled
        self._served = served

    async def index(self, *, only_ready: bool) -> list[RepositoryEntry]:
        self._check_served()
        entries = await self._models.repository()
        return [entry for entry in entries if entry.state == "READY" or not only_ready]

    async def load(self, model: str, parameters: Collection[str]) -> None:
        """Registers the archive of that name and waits for its workers; does nothing if the model is already served."""
        self._check_may_change(model)
        if parameters:
            raise BadRequest("Load parameters are not supported: models are loaded as archived.")
        if self._is_served(model):
            return
        stored = await self._models.archives()
        archive = next((model + suffix for suffix in _SUFFIXES if model + suffix in stored), None)
        if archive is None:
            raise ModelNotFound(model=model)
        request = RegisterRequest(url=archive, model_name=model, initial_workers=self._workers, synchronous=True)
        try:
            await self._management.register(request)
        except AlreadyRegistered:
            pass  # by another client, meanwhile

    async def unload(self, model: str) -> None:
        """Unregisters every version."""
        self._check_may_change(model)
        default = self._models.model_spec(model, None).key.version
        others = [version for version in self._models.versions(model) if version != default]
        for version in [*others, default]:
            try:
                await self._management.unregister(model, version)
            except (ModelNotFound, ModelVersionNotFound):
                pass  # by another client, meanwhile

    def _is_served(self, model: str) -> bool:
        try:
            self._models.model_spec(model, None)
        except ModelNotFound:
            return False
        return True

    def _check_may_change(self, model: str) -> None:
        self._check_served()
        if not self._model_api_enabled:
            raise ModelApiDisabled
        if not model:
            raise BadRequest("Parameter model_name is required.")

    def _check_served(self) -> None:
        if not self._served:
            raise RepositoryElsewhere
