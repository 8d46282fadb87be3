"""Loads a model into a `Service`, as TorchServe's loader does. Users import it from `ts.model_loader`."""

from __future__ import annotations

import uuid
from typing import Any

from stoker.worker import loading
from stoker.worker.service import Service


class ModelLoader:
    def load(
        self,
        model_name: str,
        model_dir: str,
        handler: str | None = None,
        gpu_id: int | None = None,
        batch_size: int | None = None,
        envelope: str | None = None,
        limit_max_image_pixels: bool = True,
        metrics_cache: Any = None,
    ) -> Service:
        """Imports and initialises the handler. Raises whatever the user's code raises."""
        manifest = loading.read_manifest(model_dir)
        name = handler or ((manifest or {}).get("model") or {}).get("handler")
        if not name:
            raise ValueError("No handler is given, and the archive's manifest names none")
        if metrics_cache is not None:
            metrics_cache.set_request_ids(str(uuid.uuid4()))  # loading counts as a request
        loading.make_importable(model_dir)
        entry = loading.find_entry(name, envelope)
        service = Service(
            model_name,
            model_dir,
            manifest,
            entry.entry_point,
            gpu_id,
            batch_size,
            limit_max_image_pixels,
            metrics_cache,
        )
        entry.initialize(service.context)
        return service


TsModelLoader = ModelLoader


class ModelLoaderFactory:
    @staticmethod
    def get_model_loader() -> ModelLoader:
        return ModelLoader()
