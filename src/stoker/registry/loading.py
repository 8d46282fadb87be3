"""Loads the startup models, a few at a time.  A model that fails is logged and skipped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from stoker import errors
from stoker.archive.sources import is_remote, redacted
from stoker.registry.catalog import Catalog
from stoker.registry.entry import ModelEntry
from stoker.registry.operations import Operations
from stoker.registry.startup_models import StartupModel
from stoker.registry.tasks import KeptTasks

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Archives to read at the same time, and archives to download at the same time."""

_REPORT_S = 10.0
_MOST_NAMED = 5


async def load_all(
    models: Sequence[StartupModel], *, operations: Operations, catalog: Catalog[ModelEntry], tasks: KeptTasks
) -> list[StartupModel]:
    """Returns the models that could not be loaded, once all others are registered. Workers may still be starting."""
    reading, downloading = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
    loads = [
        tasks.start(_load(model, downloading if is_remote(model.url) else reading, operations)) for model in models
    ]
    await _wait_and_report(models, loads)
    entries = [None if load.cancelled() else load.result() for load in loads]
    _settle_defaults([entry for entry in entries if entry is not None], operations, catalog)
    return [model for model, entry in zip(models, entries, strict=True) if entry is None]


async def _wait_and_report(models: Sequence[StartupModel], loads: Sequence[asyncio.Task[ModelEntry | None]]) -> None:
    """Waits for all loads, and logs now and then which models the start is still waiting for."""
    pending = set(loads)
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_REPORT_S)
        if pending:
            waiting = [shown(model) for model, load in zip(models, loads, strict=True) if load in pending]
            more = f" and {len(waiting) - _MOST_NAMED} more" if len(waiting) > _MOST_NAMED else ""
            log.info(
                "Startup models: %d of %d are done, waiting for %s%s",
                len(loads) - len(waiting),
                len(loads),
                ", ".join(waiting[:_MOST_NAMED]),
                more,
                extra={"event": "models_loading", "waiting": waiting},
            )


async def _load(model: StartupModel, gate: asyncio.Semaphore, operations: Operations) -> ModelEntry | None:
    async with gate:
        try:
            _check_in_store(model)
            entry, _ = await operations.register(model.request, at_startup=True, workers=model.workers)
        except errors.StokerError as error:
            log.error("Failed to load model: %s (%s)", shown(model), error, extra={"event": "model_load_failed"})
        except Exception:
            log.exception("Failed to load model: %s", shown(model), extra={"event": "model_load_failed"})
        else:
            _check_version(model, entry)
            return entry
    return None


def shown(model: StartupModel) -> str:
    """Returns the entry as the operator wrote it, without secrets of its URL."""
    return model.text.replace(model.url, redacted(model.url))


def _check_in_store(model: StartupModel) -> None:
    """Raises ArchiveNotFound for a resumed model with a remote URL, because resuming downloads nothing."""
    if model.saved is not None and is_remote(model.url):
        raise errors.ArchiveNotFound(url=redacted(model.url))


def _check_version(model: StartupModel, entry: ModelEntry) -> None:
    if model.saved is not None and model.saved.version != entry.key.version:
        log.warning(
            "Model %s was resumed as version %s: that is what its archive says now", shown(model), entry.key.version
        )


def _settle_defaults(loaded: Sequence[ModelEntry], operations: Operations, catalog: Catalog[ModelEntry]) -> None:
    """Makes the first version listed of each model its default, whichever was unpacked first, unless a client has
    chosen another meanwhile."""
    seen: set[str] = set(operations.names_with_chosen_default)
    for entry in loaded:
        if entry.key.name not in seen and catalog.find(*entry.key) is entry:
            catalog.set_default(*entry.key)
        seen.add(entry.key.name)
