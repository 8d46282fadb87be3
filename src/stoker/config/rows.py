"""Declares settings: what a row of the table says, and the functions that make rows.

Used by `settings` and `accepted`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from stoker.config import units

METADATA = "stoker.setting"
_LONGEST_NUMBER = 30
_TIME_UNITS = {"s": "", "ms": "_ms", "min": "_min"}


class Origin(Enum):
    """Source of a value that is not the built-in default."""

    ANY = "file, command line, environment"
    FILE = "file, command line"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table. ``key``: the property name. ``field``: its place in `Settings`, empty when nothing reads it.

    ``env``: the variable that may override it. ``always_env``: also without `enable_envvars_config`. ``unused`` says
    why a key of TorchServe changes nothing here; such keys are accepted and named in the log. ``ours``: stoker's own,
    unknown to TorchServe. ``secret``: never shown.
    """

    key: str
    convert: Callable[[str], Any]
    meaning: str
    default_text: str
    unit: str = ""
    env: str | None = None
    always_env: bool = False
    origin: Origin = Origin.ANY
    minimum: float | None = None
    maximum: float | None = None
    unused: str | None = None
    ours: bool = False
    secret: bool = False
    field: str = ""

    @property
    def is_boolean(self) -> bool:
        return self.convert is units.boolean

    @property
    def is_path(self) -> bool:
        return self.convert is path

    def parse(self, text: str) -> Any:
        """Parses a value. Raises ValueError: the message is a phrase to follow 'KEY: '."""
        value = self.convert(text)
        if isinstance(value, (int, float)):
            self._check_range(value)
        return value

    def _check_range(self, value: float) -> None:
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{self._written(value)} is less than {self._written(self.minimum)}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"{self._written(value)} is more than {self._written(self.maximum)}")

    def _written(self, value: float) -> str:
        number = str(value) if isinstance(value, int) else f"{value:g}"
        if len(number) > _LONGEST_NUMBER:
            number = f"a number of {len(number)} digits"
        return f"{number} s" if self.unit in ("s", "ms", "min") else number


def row(key: str, convert: Callable[[str], Any], meaning: str, default_text: str = "-", **declared: Any) -> Row:
    """Makes a row whose environment variable follows TorchServe's rule unless it is given."""
    origin = declared.get("origin", Origin.ANY)
    if origin is not Origin.FILE:
        declared.setdefault("env", key.upper() if key.startswith("ts_") else f"TS_{key.upper()}")
    return Row(key=key, convert=convert, meaning=meaning, default_text=default_text, **declared)


def setting(
    convert: Callable[[str], Any],
    default: Any,
    meaning: str,
    *,
    factory: Callable[[], Any] | None = None,
    shown: str | None = None,
    **declared: Any,
) -> Any:
    """Declares a dataclass field with its row.

    ``default`` is in the converted unit; ``factory`` makes one that depends on the machine, and ``shown`` describes it.
    """
    text = shown if shown is not None else default_text(default)
    metadata = {METADATA: {"convert": convert, "meaning": meaning, "default_text": text, **declared}}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def row_of(declared: Field[Any]) -> Row:
    """Returns the row of a field; times are called ``*_s`` there, and have the operator's unit in their key."""
    values = declared.metadata[METADATA]
    ending = _TIME_UNITS.get(values.get("unit", ""))
    key = declared.name if ending is None else declared.name.removesuffix("_s") + ending
    return row(key, **values, field=declared.name)


def switch(default: bool, meaning: str, **declared: Any) -> Any:
    return setting(units.boolean, default, meaning, **declared)


def whole(default: int | None, meaning: str, *, minimum: int = 0, **declared: Any) -> Any:
    return setting(units.whole_number, default, meaning, minimum=minimum, **declared)


def seconds(default: float, meaning: str, *, minimum: float = 0, **declared: Any) -> Any:
    return setting(units.number, default, meaning, unit="s", minimum=minimum, **declared)


def milliseconds(meaning: str, *, minimum: float = 0, **declared: Any) -> Any:
    """Declares a time that is unlimited by default."""
    return setting(units.milliseconds, None, meaning, unit="ms", minimum=minimum, shown="unlimited", **declared)


def size(default: int, meaning: str, *, minimum: int = 1, **declared: Any) -> Any:
    return setting(units.size, default, meaning, unit="bytes", minimum=minimum, **declared)


def choice(words: tuple[str, ...], meaning: str, **declared: Any) -> Any:
    """Declares a word out of several; the first one is the default."""
    return setting(units.one_of(*words), words[0], meaning, **declared)


def text(meaning: str, **declared: Any) -> Any:
    return setting(units.string, None, meaning, **declared)


def place(meaning: str, **declared: Any) -> Any:
    """Declares a file or a folder."""
    return setting(path, None, meaning, **declared)


def default_text(default: Any) -> str:
    if default is None or default == ():
        return "-"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


# ------------------------------------------------------------------- converters of more than a number


def path(text: str) -> Path | None:
    word = text.strip()
    return Path(word).expanduser().absolute() if word else None


def folders(text: str) -> tuple[Path, ...]:
    return tuple(Path(word).expanduser().absolute() for word in units.comma_list(text))


def token(text: str) -> str | None:
    """Returns the token. Its error message never shows the value."""
    word = text.strip()
    if not word.isascii() or not word.isprintable() or " " in word:
        raise ValueError("a token is printable ASCII without blanks")
    return word or None


def header_name(text: str) -> str:
    """Returns a name that is valid in HTTP and gRPC."""
    word = text.strip()
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", word) is None or word.lower().startswith("grpc-"):
        raise ValueError(f"{word!r} is not a header name: letters, digits, '_', '-' and '.', without grpc- in front")
    return word


def regex(text: str) -> str | None:
    word = text.strip()
    try:
        re.compile(word)
    except re.error as error:
        raise ValueError(f"{word!r} is not a regular expression: {error}") from None
    return word or None


def regexes(text: str) -> tuple[str, ...]:
    """Splits comma-separated expressions; a comma inside braces or brackets belongs to its expression."""
    patterns = tuple(word for part in re.split(r",(?![^{\[]*[}\]])", text) if (word := part.strip()))
    for pattern in patterns:
        regex(pattern)
    return patterns


def model_list(text: str) -> tuple[str, ...]:
    """Returns ``("all",)``, or entries ``[name=]location``."""
    entries = units.comma_list(text)
    return ("all",) if any(entry.lower() == "all" for entry in entries) else entries
