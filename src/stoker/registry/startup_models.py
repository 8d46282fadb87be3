"""Lists the models to load at start: those of a snapshot, or the entries of ``load_models`` (``--models``).  PURE.

The entries are ``[name=]url``, or ``all`` in any case. A name given here overrides the manifest's; a name derived from
the file name is used only if the manifest has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stoker.archive.sources import redacted
from stoker.config.model_snapshot import ModelSnapshot, SnapshotModel
from stoker.core.ports import RegisterRequest
from stoker.registry.entry import ModelEntry

_NAMED = re.compile(r"([^=/:?]+)=(.*)", re.DOTALL)  # "m=file.mar", but not "https://host/file.mar?a=b"


class StartupModel(NamedTuple):
    text: str
    """The entry as the operator wrote it, without credentials."""
    url: str
    name: str | None
    saved: SnapshotModel | None = None
    """Saved state of a model that is resumed."""

    @property
    def request(self) -> RegisterRequest:
        if self.saved is None:
            return RegisterRequest(url=self.url, model_name=self.name)
        return RegisterRequest(
            url=self.url,
            model_name=self.name,
            handler=self.saved.handler,
            runtime=self.saved.runtime,
            batch_size=self.saved.batch_size,
            max_batch_delay_s=self.saved.max_batch_delay_s,
            response_timeout_s=self.saved.response_timeout_s,
            startup_timeout_s=self.saved.startup_timeout_s,
        )

    @property
    def workers(self) -> tuple[int, int] | None:
        return None if self.saved is None else (self.saved.min_workers, self.saved.max_workers)


def models_to_load(entries: Sequence[str], names_in_store: Callable[[], Sequence[str]]) -> list[StartupModel]:
    """Parses the entries in their order; calls ``names_in_store`` only for ``all``."""
    texts = [text for entry in entries if (text := entry.strip())]
    if any(text.lower() == "all" for text in texts):
        return [StartupModel(name, name, None) for name in names_in_store()]
    return [_parse(text) for text in texts]


def _parse(item: str) -> StartupModel:
    named = _NAMED.fullmatch(item)
    if named is None:
        return StartupModel(redacted(item), item, None)
    name, url = named[1].strip(), named[2].strip()
    return StartupModel(f"{name}={redacted(url)}", url, name)


def models_to_resume(snapshot: ModelSnapshot) -> list[StartupModel]:
    """Returns the models of a snapshot, default versions first, so that `loading` makes them the default again."""
    models = sorted(snapshot.models, key=lambda model: not model.default)
    return [
        StartupModel(f"{model.name}/{model.version} ({model.mar_name})", model.url or model.mar_name, model.name, model)
        for model in models
    ]


def saved_model(entry: ModelEntry, *, default: bool, default_handler: str | None) -> SnapshotModel:
    """Describes a served model for a snapshot. ``default_handler``: the handler of archives that name none."""
    spec, unpacked = entry.spec, entry.unpacked
    assert unpacked is not None, "functions of workflows are not saved on their own"
    level = spec.yaml_config.get("parallelLevel")
    usual_handlers = (unpacked.manifest.handler, default_handler)
    return SnapshotModel(
        name=spec.key.name,
        version=spec.key.version,
        default=default,
        mar_name=unpacked.file_name,
        min_workers=entry.min_workers,
        max_workers=entry.max_workers,
        batch_size=spec.batch_size,
        max_batch_delay_s=spec.max_batch_delay_s,
        response_timeout_s=spec.response_timeout_s,
        startup_timeout_s=spec.startup_timeout_s,
        runtime=spec.runtime,
        parallel_level=level if isinstance(level, int) else 0,
        handler=None if spec.handler in usual_handlers else spec.handler,
        url=unpacked.external_path,
    )
