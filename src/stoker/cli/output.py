"""Prints for commands: tables and colour on a terminal, plain lines in a pipe, one line on stderr for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

USAGE_STATUS = 2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def echo(text: str) -> None:
    print(text)


def status(answer: str, as_json: bool) -> None:
    """Prints the server's message."""
    echo(json.dumps({"status": answer}) if as_json else answer)


def answer(data: bytes, file: Path | None = None) -> None:
    """Prints an answer, or writes it to ``file``. Text gets a line end on a terminal; else bytes are unchanged."""
    if file is not None:
        return write_file(file, data)
    if not sys.stdout.isatty():
        return part(data)
    try:
        print(data.decode())
    except UnicodeDecodeError:
        print(f"{len(data)} bytes that are not text; use --output FILE or a pipe")


def part(data: bytes) -> None:
    """Prints one part of a stream at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on a terminal, tab-separated values without a header in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def read_file(file: Path) -> bytes:
    """Returns a file's content; if it cannot be read, exits with a message and status 1."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        fail(f"There is no file {file}.")
    except IsADirectoryError:
        fail(f"{file} is a directory, not a file.")
    except PermissionError:
        fail(f"You may not read {file}.")
    except OSError as error:
        fail(f"Cannot read {file}: {error.strerror}.")


def write_file(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(f"Cannot write {file}: {error.strerror}.")


def size(number: int) -> str:
    """Formats bytes for people: ``512 bytes``, ``6.3 MB``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} bytes"


def warn(message: str) -> None:
    _stderr(f"warning: {message}", "yellow")


def note(message: str) -> None:
    """Prints progress and remarks to stderr, so that a pipe gets only the figures."""
    _stderr(message, "dim")


def complain(message: str) -> None:
    _stderr(f"error: {message}", "red")


def fail(message: str, status: int = 1) -> NoReturn:
    complain(message)
    raise typer.Exit(status)


def _stderr(line: str, style: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, style=style, markup=False)
