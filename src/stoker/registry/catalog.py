"""Keeps the model versions, and the default version of each name.  PURE.

The first version of a name becomes its default. The default can be removed only if it is the last version.

Invariants: a name in the catalog always has a default; `find` costs one dict lookup, two with a version; a method that
raises changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from stoker import errors
from stoker.core.job import ModelKey


class Keyed(Protocol):
    @property
    def key(self) -> ModelKey: ...


E = TypeVar("E", bound=Keyed)


class Catalog(Generic[E]):
    """Stores entries by name and version. ``default_of``: `find` without a version, for the hot path."""

    def __init__(self) -> None:
        self._defaults: dict[str, E] = {}
        self._versions: dict[str, dict[str, E]] = {}
        self.default_of: Callable[[str], E | None] = self._defaults.get

    # ------------------------------------------------------------------------------------------ reading

    def find(self, name: str, version: str | None) -> E | None:
        """Returns the entry; None: there is none. An empty version means the default one."""
        if not version:
            return self._defaults.get(name)
        versions = self._versions.get(name)
        return None if versions is None else versions.get(version)

    def lookup(self, name: str, version: str | None) -> E:
        """Does as `find`. Raises ModelNotFound, ModelVersionNotFound."""
        entry = self.find(name, version)
        return entry if entry is not None else self._missing(name, version)

    def _missing(self, name: str, version: str | None) -> E:
        if name not in self._versions:
            raise errors.ModelNotFound(model=name)
        raise errors.ModelVersionNotFound(model=name, version=version)

    def versions(self, name: str) -> list[E]:
        """Returns every version of a name, in the order of registration. Raises ModelNotFound."""
        if name not in self._versions:
            raise errors.ModelNotFound(model=name)
        return list(self._versions[name].values())

    def defaults(self) -> list[E]:
        """Returns the default version of every name, sorted by name."""
        return [self._defaults[name] for name in sorted(self._defaults)]

    def is_default(self, entry: E) -> bool:
        return self._defaults.get(entry.key.name) is entry

    def __iter__(self) -> Iterator[E]:
        return iter([entry for versions in self._versions.values() for entry in versions.values()])

    def __len__(self) -> int:
        return sum(map(len, self._versions.values()))

    # ----------------------------------------------------------------------------------------- changing

    def check_absent(self, key: ModelKey) -> None:
        """Raises AlreadyRegistered."""
        if key.version in self._versions.get(key.name, ()):
            raise errors.AlreadyRegistered(model=key.name, version=key.version)

    def add(self, entry: E) -> None:
        """Raises AlreadyRegistered."""
        name, version = entry.key
        self.check_absent(entry.key)
        self._versions.setdefault(name, {})[version] = entry
        self._defaults.setdefault(name, entry)

    def set_default(self, name: str, version: str) -> None:
        """Raises ModelNotFound, ModelVersionNotFound. The text of the latter differs from other operations' (it has no
        colons), as in TorchServe."""
        versions = self._versions.get(name)
        if versions is None:
            raise errors.ModelNotFound(model=name)
        if version not in versions:
            raise errors.ModelVersionNotFound(f"Model version {version} does not exist for model {name}")
        self._defaults[name] = versions[version]

    def remove(self, name: str, version: str | None) -> E:
        """Removes and returns the entry. An empty version means the default one.

        Raises: ModelNotFound, ModelVersionNotFound; CannotRemoveDefault: other versions would be left without a
        default.
        """
        entry = self.lookup(name, version)
        versions = self._versions[name]
        if self.is_default(entry):
            if len(versions) > 1:
                raise errors.CannotRemoveDefault(model=name)
            del self._defaults[name]
        del versions[entry.key.version]
        if not versions:
            del self._versions[name]
        return entry
