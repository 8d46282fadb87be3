"""Reads a file of environment variables, as for `docker run --env-file` and shell scripts."""

from __future__ import annotations

import re
from pathlib import Path

from stoker.config.load import read_text
from stoker.errors import ConfigurationError

_LINE = re.compile(r"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)")


def read_env_file(file: Path) -> dict[str, str]:
    """Reads the file. Raises ConfigurationError, which names file and line."""
    variables: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        match = _LINE.fullmatch(words)
        if match is None:
            raise ConfigurationError(f"{file}, line {number}: this is not NAME=VALUE")
        variables[match["name"]] = _unquoted(match["value"])
    return variables


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
