"""Collects values: built-in default < properties file < command line < environment.

The environment counts only when `enable_envvars_config` ends up true (and for the few variables that always do). Every
value's source is remembered, so that errors and `torchserve --print-config` can name it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stoker.config import properties, units
from stoker.config.model_defaults import READ
from stoker.config.model_keys import BY_NAME
from stoker.config.rows import Origin, Row
from stoker.config.settings import ROWS, Settings
from stoker.errors import ConfigurationError

CONFIG_FILE_VARIABLE = "TS_CONFIG_FILE"
DEFAULT_FILE = "config.properties"
_LARGEST_FILE = 16 << 20


class Given(NamedTuple):
    """A value as it was written. ``where`` names its source: 'FILE, line 3', '--models', 'TS_MODELS'."""

    text: str
    where: str

    @property
    def is_flag(self) -> bool:
        return self.where.startswith("--")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The result of loading.

    ``given``: values by property name, except defaults.  ``file``: the properties file in use, unless it is a snapshot
    of which only the models are resumed.  ``snapshot``: where the models come from.  ``warnings``: for the log.
    """

    settings: Settings
    given: Mapping[str, Given]
    file: Path | None
    warnings: tuple[str, ...]
    snapshot: Path | None = None


def load(
    *,
    arguments: Mapping[str, Given],
    environment: Mapping[str, str],
    ts_config: str | None = None,
    directory: Path | None = None,
) -> Loaded:
    """Loads everything once. ``arguments``: of the command line, by property name. Raises ConfigurationError."""
    file = find_file(ts_config=ts_config, environment=environment, directory=directory or Path.cwd())
    return load_file(file, arguments=arguments, environment=environment)


def load_file(file: Path | None, *, arguments: Mapping[str, Given], environment: Mapping[str, str]) -> Loaded:
    """Does the same as `load` with this file, or with none."""
    warnings: list[str] = []
    given = {} if file is None else _from_file(file, environment, warnings)
    given.update(arguments)
    given.update(from_environment(environment, given))
    values = [(row.field, _value(row, given[key])) for key, row in ROWS.items() if key in given]  # unused keys too
    settings = Settings(**{field: value for field, value in values if field})
    warnings += _remarks(given)
    warnings += _ignored_members(settings, given)
    return Loaded(settings=settings, given=given, file=file, warnings=tuple(warnings))


def find_file(*, ts_config: str | None, environment: Mapping[str, str], directory: Path) -> Path | None:
    """Returns `TS_CONFIG_FILE`, else ``--ts-config``, else `config.properties` in the current directory, else None."""
    named = environment.get(CONFIG_FILE_VARIABLE) or ts_config
    if named:
        file = directory / Path(named).expanduser()
        if not file.exists():
            raise ConfigurationError(f"--ts-config file not found: {named}")
        return file
    file = directory / DEFAULT_FILE
    return file if file.exists() else None


def log_format(*, ts_config: str | None, environment: Mapping[str, str], directory: Path | None = None) -> str:
    """Returns the format in which to report that the other settings are wrong."""
    try:
        file = find_file(ts_config=ts_config, environment=environment, directory=directory or Path.cwd())
        given = {} if file is None else _from_file(file, environment, [])
        given.update(from_environment(environment, given))
        row = ROWS["log_format"]
        return str(_value(row, given[row.key])) if row.key in given else row.default_text
    except ConfigurationError:
        return ROWS["log_format"].default_text


# -------------------------------------------------------------------------------------------- the file


def _from_file(file: Path, environment: Mapping[str, str], warnings: list[str]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for entry in properties.parse(read_text(file), file=str(file)):
        where = f"{file}, line {entry.line}"
        row = ROWS.get(entry.key)
        if row is None or row.origin is Origin.ENVIRONMENT:
            warnings.append(_unknown(entry.key, where))
            continue
        if entry.key in found:
            warnings.append(f"{where}: {entry.key} replaces the value of {found[entry.key].where}.")
        found[entry.key] = Given(_expanded(entry, where, environment), where)
    return found


def read_text(file: Path) -> str:
    """Reads a text file. Raises ConfigurationError: it cannot be read, or is not text."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"Invalid configuration: cannot read {file}: {error.strerror or error}") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigurationError(f"Invalid configuration: {file} is larger than {_LARGEST_FILE >> 20} MiB")
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise ConfigurationError(f"Invalid configuration: {file}, line {line}: this is not a text file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # Java's encoding for properties files


def _expanded(entry: properties.Entry, where: str, environment: Mapping[str, str]) -> str:
    try:
        return properties.expand(entry.value, environment)
    except ValueError as error:
        raise ConfigurationError(f"Invalid configuration: {error} ({where}, {entry.key})") from None


def _unknown(key: str, where: str) -> str:
    known = [k for k, row in ROWS.items() if row.origin is not Origin.ENVIRONMENT]
    return f"{where}: {key} is not a setting and was ignored.{hint(key, known)}"


def _ignored_members(settings: Settings, given: Mapping[str, Given]) -> Iterator[str]:
    """Warns about members of the two JSON values that are not read; TorchServe skips them too."""
    for model, versions in settings.models.items():
        for version, defaults in versions.items():
            for name in defaults.ignored:
                what = f"{given['models'].where}: models: {name} of version {version} of model {model} is ignored."
                yield f"{what} model-config.yaml is its place." if name in BY_NAME else what + hint(name, READ)
    for what in settings.model_snapshot.ignored if settings.model_snapshot else ():
        yield f"{given['model_snapshot'].where}: model_snapshot: {what} is ignored."


def hint(word: str, known: Iterable[str]) -> str:
    """Suggests the nearest key. Most typos concern case and underscores."""
    plain = {_plain(name): name for name in known}
    nearest = difflib.get_close_matches(_plain(word), plain, n=1)
    return f" Did you mean {plain[nearest[0]]}?" if nearest else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "").replace(".", "")


# ------------------------------------------------------------------------------------- the environment


def from_environment(environment: Mapping[str, str], given: Mapping[str, Given]) -> dict[str, Given]:
    """Returns the variables that take effect beside ``given``, by property name."""
    enabled = _switch("enable_envvars_config", given)
    urls = _switch("use_env_allowed_urls", given)
    return {
        row.key: Given(environment[row.env], row.env)
        for row in ROWS.values()
        if row.env is not None
        and environment.get(row.env)
        and (enabled or row.always_env or row.origin is Origin.ENVIRONMENT)
        and (urls or row.key != "allowed_urls")
    }


def _switch(key: str, given: Mapping[str, Given]) -> bool:
    return key in given and units.boolean(given[key].text)


# ------------------------------------------------------------------------------------------ the values


def _value(row: Row, given: Given) -> Any:
    try:
        return row.parse(given.text)
    except ValueError as error:
        raise ConfigurationError(f"Invalid configuration: {given.where}: {row.key}: {error}") from None


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False


def _remarks(given: Mapping[str, Given]) -> Iterator[str]:
    """Warns about values that are legal but surprising."""
    for key, value in given.items():
        row = ROWS[key]
        if row.is_path and not value.is_flag and (place := row.parse(value.text)) and not _exists(place):
            yield f"{value.where}: {key}: {place} does not exist."
        if row.unused is not None:
            yield f"{value.where}: {key} has no effect: {row.unused}."
        elif row.is_boolean and not units.is_boolean_word(value.text):
            yield f"{value.where}: {key}: '{value.text.strip()}' counts as false; only the word true counts as true."
