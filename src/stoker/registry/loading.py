"""Loads the models of the start, side by side, a few at a time.  One that fails is logged and skipped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from stoker import errors
from stoker.core.ports import RegisterRequest
from stoker.registry.catalog import Catalog
from stoker.registry.entry import ModelEntry
from stoker.registry.kept import KeptTasks
from stoker.registry.operations import Operations
from stoker.registry.startup import StartupModel

_log = logging.getLogger(__name__)

AT_ONCE = 4


async def load_all(
    models: Sequence[StartupModel], *, operations: Operations, catalog: Catalog[ModelEntry], tasks: KeptTasks
) -> list[str]:
    """Returns when each is registered or given up: which were. Workers go on starting."""
    gate = asyncio.Semaphore(AT_ONCE)
    loads = [tasks.start(_load(model, gate, operations)) for model in models]
    if loads:
        await asyncio.wait(loads)
    entries = [None if load.cancelled() else load.result() for load in loads]
    _settle_defaults([entry for entry in entries if entry is not None], operations, catalog)
    return [model.text for model, entry in zip(models, entries, strict=True) if entry is None]


async def _load(model: StartupModel, gate: asyncio.Semaphore, operations: Operations) -> ModelEntry | None:
    request = RegisterRequest(url=model.url, model_name=model.name)
    async with gate:
        try:
            entry, _ = await operations.register(request, at_startup=True)
        except errors.StokerError as error:
            _log.error("Failed to load model: %s (%s)", model.text, error, extra={"event": "model_load_failed"})
        except Exception:
            _log.exception("Failed to load model: %s", model.text, extra={"event": "model_load_failed"})
        else:
            return entry
    return None


def _settle_defaults(loaded: Sequence[ModelEntry], operations: Operations, catalog: Catalog[ModelEntry]) -> None:
    """Of several versions of one model the first in the list is the default, whichever was unpacked first,
    unless somebody has chosen one meanwhile."""
    seen: set[str] = set(operations.names_with_chosen_default)
    for entry in loaded:
        if entry.key.name not in seen and catalog.find(*entry.key) is entry:
            catalog.set_default(*entry.key)
        seen.add(entry.key.name)
