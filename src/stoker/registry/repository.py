"""Lists the models that are served, and the archives that could be, as a model repository.  PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stoker.core.ports import RepositoryEntry
from stoker.registry.catalog import Catalog
from stoker.registry.entry import ModelEntry

READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"
_MOST_CAUSES, _LONGEST_CAUSE = 100, 1000


class FailedLoads:
    """Remembers why archives could not be loaded at the last attempt."""

    def __init__(self) -> None:
        self._causes: dict[str, str] = {}

    def note(self, archive: str, cause: str) -> None:
        self.forget(archive)
        self._causes[archive] = cause[:_LONGEST_CAUSE]
        if len(self._causes) > _MOST_CAUSES:
            del self._causes[next(iter(self._causes))]

    def forget(self, archive: str) -> None:
        self._causes.pop(archive, None)

    def cause(self, archive: str) -> str:
        """Returns why the archive could not be loaded; empty: it was, or was not tried."""
        return self._causes.get(archive, "")


def index(
    catalog: Catalog[ModelEntry], archives: Sequence[str], *, ready: Callable[[ModelEntry], bool], failed: FailedLoads
) -> list[RepositoryEntry]:
    """Returns an entry for each version, sorted by name, then one for each archive that no version was made from."""
    entries = sorted(catalog, key=lambda entry: entry.key)
    used = {entry.spec.url for entry in entries} | {entry.key.name for entry in entries}
    served = [RepositoryEntry(*entry.key, *_state(entry, ready(entry))) for entry in entries]
    names = [(archive, archive.removesuffix(".mar")) for archive in archives]
    stored = [
        RepositoryEntry(name, "", UNAVAILABLE, failed.cause(archive) or "not loaded")
        for archive, name in names
        if archive not in used and name not in used
    ]
    return [*served, *stored]


def _state(entry: ModelEntry, ready: bool) -> tuple[str, str]:
    if ready:
        return READY, ""
    failure = entry.start_failure()
    if failure is not None:
        return UNAVAILABLE, failure.cause
    return (LOADING, "") if entry.min_workers else (UNAVAILABLE, "no workers")
