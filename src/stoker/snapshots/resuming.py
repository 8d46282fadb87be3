"""Loads the settings for a start, and the models of a snapshot where there is one to resume.

A file that the user names is used as a whole, settings too: a snapshot is a properties file, and one that cannot be
used stops the start.  Without one, the newest snapshot gives its models and nothing else: settings come from the
properties file, and how open the server is does not depend on the snapshot; an unreadable snapshot is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from stoker.config import model_snapshot, properties
from stoker.config.load import CONFIG_FILE_VARIABLE, Given, Loaded, find_file, load_file, read_text
from stoker.config.model_snapshot import ModelSnapshot
from stoker.config.rows import Origin
from stoker.config.settings import ROWS, Settings
from stoker.errors import ConfigurationError
from stoker.snapshots import files as snapshot_files

_KEY = "model_snapshot"
_REPLACED = {"load_models": "models", "load_workflows": "workflows"}
"""Settings whose place a snapshot takes, and what they name."""
_NOT_SETTINGS = (_KEY, *_REPLACED)


def load_for_start(
    *,
    arguments: Mapping[str, Given],
    environment: Mapping[str, str],
    ts_config: str | None = None,
    resume: bool = True,
    directory: Path | None = None,
) -> Loaded:
    """Does as `config.load.load`. ``resume``: the newest snapshot gives the models where no file was named.

    Raises: ConfigurationError: as `config.load.load`, except for the content of a snapshot that was not named.
    """
    here = directory or Path.cwd()
    file = find_file(ts_config=ts_config, environment=environment, directory=here)
    loaded = load_file(file, arguments=arguments, environment=environment)
    if file is not None and (environment.get(CONFIG_FILE_VARIABLE) or ts_config):
        return _with_its_models(loaded, file)
    folder = snapshot_files.folder_of(here / (environment.get("LOG_LOCATION") or ROWS["log_location"].default_text))
    return _with_newest_models(loaded, folder, environment) if resume else loaded


def _snapshots_in(folder: Path) -> list[Path]:
    try:
        names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError:
        return []
    return [folder / name for name in snapshot_files.newest_first(names)]


def _with_its_models(loaded: Loaded, file: Path) -> Loaded:
    """Resumes the models of a named snapshot.

    Raises ConfigurationError: the name is a snapshot's, but the models at its end are missing.
    """
    if loaded.settings.model_snapshot is not None:
        return replace(
            loaded, snapshot=file, warnings=(*loaded.warnings, *_ignored_models(loaded, file, but_not_of=str(file)))
        )
    if snapshot_files.written_at(file.name) is not None:
        raise ConfigurationError(
            f"Invalid configuration: {file} has no {_KEY}: the snapshot is incomplete. "
            "A copy under another name gives its settings without models."
        )
    return loaded


class _Content(NamedTuple):
    models: ModelSnapshot
    text: str
    entries: Mapping[str, str]


def _with_newest_models(loaded: Loaded, folder: Path, environment: Mapping[str, str]) -> Loaded:
    troubles: list[str] = []
    for file in _snapshots_in(folder):
        try:
            content = _read(file, environment)
        except ValueError as error:
            troubles.append(_unusable(file, str(error)))
            continue
        if not content.models.resume:
            break
        warnings = (
            *loaded.warnings,
            *_warnings(troubles, file),
            *_ignored_models(loaded, file),
            *_other_settings(content, loaded.settings, file),
        )
        settings = replace(loaded.settings, model_snapshot=content.models)
        given = {**loaded.given, _KEY: Given(content.text, str(file))}
        return replace(loaded, settings=settings, given=given, snapshot=file, warnings=warnings)
    return replace(loaded, warnings=(*loaded.warnings, *_warnings(troubles, None)))


def _read(file: Path, environment: Mapping[str, str]) -> _Content:
    """Raises ValueError: the file is not whole."""
    try:
        entries = {entry.key: entry.value for entry in properties.parse(read_text(file), file=str(file))}
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    if _KEY not in entries:
        raise ValueError(f"it has no {_KEY}")
    text = properties.expand(entries[_KEY], environment)
    return _Content(model_snapshot.decode(text), text, entries)


def _ignored_models(loaded: Loaded, snapshot: Path, *, but_not_of: str | None = None) -> Iterator[str]:
    """Warns of settings that the snapshot replaces, unless they are the snapshot's own."""
    for key, what in _REPLACED.items():
        given = loaded.given.get(key)
        if given is not None and not (but_not_of and given.where.startswith(but_not_of)):
            yield (
                f"{given.where}: {key} is ignored, the {what} of the snapshot {snapshot} are resumed. "
                "Started with --no-config-snapshots, and without naming it, the server does not resume it."
            )


def _other_settings(content: _Content, settings: Settings, file: Path) -> Iterator[str]:
    differing = sorted(key for key, text in content.entries.items() if _differs(key, text, settings))
    if differing:
        yield (
            f"The snapshot {file} was written under other settings ({', '.join(differing)}). Only its models are "
            f"resumed; --ts-config {file} resumes its settings too."
        )


def _differs(key: str, text: str, settings: Settings) -> bool:
    row = ROWS.get(key)
    if row is None or not row.field or row.origin is Origin.ENVIRONMENT or key in _NOT_SETTINGS:
        return False
    try:
        value: Any = row.parse(text)
    except ValueError:
        return True
    return bool(value != getattr(settings, row.field))


def _unusable(file: Path, reason: str) -> str:
    return f"The snapshot {file} cannot be used: {reason.removeprefix('Invalid configuration: ').rstrip('.')}."


def _warnings(troubles: Iterable[str], used: Path | None) -> Iterator[str]:
    instead = f"{used} is used in its place." if used else "There is no other: the server starts without a snapshot."
    for trouble in troubles:
        yield f"{trouble} {instead}"
