"""Declares settings: what a row of the table says, and the functions that make rows.

Used by `settings` and `accepted`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from stoker.config import units

METADATA = "stoker.setting"
_LONGEST_NUMBER = 30


class Origin(Enum):
    """Who may set a value besides the built-in default."""

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
        """Parses a value. Raises ValueError with half a sentence that fits after 'KEY: '."""
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

    def for_field(self, name: str) -> Row:
        return replace(self, field=name)


def row(key: str, convert: Callable[[str], Any], meaning: str, default_text: str = "-", **declared: Any) -> Row:
    """Makes a row whose environment variable follows TorchServe's rule unless it is given."""
    origin = declared.get("origin", Origin.ANY)
    if origin is not Origin.FILE:
        declared.setdefault("env", key.upper() if key.startswith("ts_") else f"TS_{key.upper()}")
    return Row(key=key, convert=convert, meaning=meaning, default_text=default_text, **declared)


def setting(
    key: str,
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
    metadata = {METADATA: row(key, convert, meaning, text, **declared)}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


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
        raise ValueError(f"{word!r} is not a name of a header: letters, digits, '_', '-', '.', not grpc- in front")
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
