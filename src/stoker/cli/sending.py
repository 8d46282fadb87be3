"""The inputs of a request as words of the command line: files, text, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import stoker.client
from stoker.cli import connecting, output, progress
from stoker.client import Api

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=]FILE...", help="What to send; '-' is standard input; the name is 'data' if not given."
    ),
]
Text = Annotated[str | None, typer.Option(help="Send this text as the input 'data'.")]
Out = Annotated[Path | None, typer.Option("--output", "-o", help="Write the answer's bytes into this file.")]


def payload(inputs: list[str] | None, text: str | None, out: Path | None = None) -> dict[str, bytes]:
    """Parses ``NAME=FILE`` or ``FILE`` (named ``data``); ``-`` is standard input. Checks first that ``out`` can be
    written, because an answer that cannot be stored is lost."""
    if out is not None:
        _check_writable(out)
    named = {"data": text.encode()} if text is not None else {}
    for item in inputs or ():
        name, path = _named(item)
        content = _standard_input() if path == "-" else output.read_file(Path(path))
        if not content:
            output.fail(f"{'Standard input' if path == '-' else path} is empty: there is nothing to send.")
        named[name] = content
    if not named:
        output.fail(
            "There is nothing to send: give a FILE, NAME=FILE, - for standard input, or --text TEXT.",
            output.USAGE_STATUS,
        )
    return named


def _named(item: str) -> tuple[str, str]:
    """Treats a file whose name contains ``=`` as a file."""
    name, equals, path = item.partition("=")
    if not equals or Path(item).exists():
        return "data", item
    return name or "data", path


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        output.note("Reading standard input; Ctrl-D ends it.")
    return sys.stdin.buffer.read()


def _check_writable(out: Path) -> None:
    if out.is_dir():
        output.fail(f"{out} is a directory: --output takes a file.")
    if not out.parent.is_dir():
        output.fail(f"There is no directory {out.parent} for --output.")


@contextmanager
def awaited(
    context: typer.Context, name: str, payload: dict[str, bytes]
) -> Iterator[tuple[stoker.client.Client, float | None]]:
    """Yields a client and its timeout as `connecting.client` does, and shows that it waits for ``name`` to answer."""
    size = output.size(sum(len(content) for content in payload.values()))
    with (
        connecting.client(context, Api.INFERENCE) as (client, seconds),
        progress.spinner(f"Sent {size} to {name}, waiting for its answer", quiet=context.obj.quiet),
    ):
        yield client, seconds
