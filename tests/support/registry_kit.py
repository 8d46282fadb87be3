"""Registries with real workers and archives, without a server around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stoker.archive.store import ModelStore
from stoker.config.settings import Settings
from stoker.core.clock import MonotonicClock
from stoker.core.job import Input
from stoker.pool.devices import Devices
from stoker.registry.registry import Registry


@asynccontextmanager
async def running(folder: Path, *, snapshots: Any = None, **settings: Any) -> AsyncIterator[Registry]:
    """Runs a registry whose model store and temp folder are ``store`` and ``temp`` in ``folder``, as a rule."""
    values = Settings(**{"model_store": folder / "store", "temp_dir": folder / "temp", **settings})
    store = ModelStore(values.model_store, temp_dir=values.temp_dir, allowed_model_paths=values.allowed_model_paths)
    registry = Registry(settings=values, store=store, devices=Devices(), clock=MonotonicClock(), snapshots=snapshots)
    try:
        async with registry:
            yield registry
    finally:
        store.close()


async def ask(
    registry: Registry, model: str, text: str = "hello", *, version: str | None = None, deadline: float | None = None
) -> str:
    """Returns the first chunk of the answer."""
    chunk = await registry.submit(model, version, [Input("data", "", text.encode())], deadline=deadline).next()
    assert chunk is not None
    return bytes(chunk.data).decode()
