"""Builds the environment of a worker on any machine, without variables that it must not see.  PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

_SECRETS = re.compile(r"(?:STOKER|TS)_(?:.*_)?(?:TOKEN|SECRET|PASS|PASSWORD|KEY)(?:_FILE)?")
_INSTALLATIONS = ("site-packages", "dist-packages")


def without_secrets(env: Mapping[str, str], blacklist: str | None = None) -> dict[str, str]:
    """Removes our own secrets, and variables whose whole name matches the operator's ``blacklist``."""
    denied = re.compile(blacklist) if blacklist else None
    return {
        name: value
        for name, value in env.items()
        if not _SECRETS.fullmatch(name) and not (denied and denied.fullmatch(name))
    }


def search_path(inherited: str, *, handler: str, folders: Iterable[str], homes: Iterable[PurePath]) -> list[str]:
    """Returns the search path in TorchServe's order: the handler's folder, the inherited path, the model's folders, the
    server's."""
    path, _, function = handler.partition(":")
    own = [str(PurePath(path).parent)] if function and "/" in path else []
    return [part for part in (*own, inherited, *folders, *not_installed(homes)) if part]


def model_folders(model_dir: str, *, in_place: bool) -> list[str]:
    """Returns the folders of a model to search; with its parent if it is used in place, to import it as a package."""
    return [model_dir, str(PurePath(model_dir).parent)] if in_place else [model_dir]


def not_installed(homes: Iterable[PurePath]) -> list[str]:
    """Returns the folders that the interpreter does not search already."""
    return [str(home) for home in dict.fromkeys(homes) if home.name not in _INSTALLATIONS]
