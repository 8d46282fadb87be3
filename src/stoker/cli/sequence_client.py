"""Implements ``stoker client sequence``: files, pieces of a file or lines as the requests of one sequence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

import stoker.client
from stoker.cli import connecting, output
from stoker.cli.connecting import Version
from stoker.client import Api


def sequence(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Files, one per request; without any, each line of standard input is a request."
        ),
    ] = None,
    piece: Annotated[int, typer.Option(min=0, help="Split files into requests of this many bytes; 0: do not.")] = 0,
    id: Annotated[str | None, typer.Option("--id", help="Continue this sequence, or name a new one.")] = None,
    end: Annotated[
        bool | None,
        typer.Option(
            "--end/--open",
            help="Close the sequence at the end, or leave it open; closed by default unless --id is given.",
        ),
    ] = None,
    version: Version = None,
) -> None:
    """Send requests that belong together to a model that keeps state, and print the answers in order."""
    payloads = _pieces(files, piece) if files else _lines()
    ends = id is None if end is None else end
    failed: stoker.client.CallError | None = None
    with connecting.client(context, Api.INFERENCE) as (client, seconds):
        requests = _requests(model, payloads, id, version, ends=ends)
        for part in client.predict_sequences(requests, timeout=seconds):
            if part.error is None:
                output.part(part.data + b"\n")
            else:
                output.note(str(part.error))
                failed = part.error
    raise typer.Exit(0 if failed is None else 1)


def _requests(
    model: str, payloads: Iterable[bytes], id: str | None, version: str | None, *, ends: bool
) -> Iterator[stoker.client.SequenceRequest]:
    """Marks the first request of a sequence without an id, and the last one of a sequence that ends."""
    before: stoker.client.SequenceRequest | None = None
    for payload in payloads:
        if before is not None:
            yield before
        before = stoker.client.SequenceRequest(
            model, payload, id or "", start=id is None and before is None, version=version
        )
    if before is not None:
        yield before._replace(end=ends)


def _pieces(files: list[Path], size: int) -> Iterator[bytes]:
    contents = [output.read_file(file) for file in files]  # fails before anything is sent
    if not any(contents):
        output.fail("There is nothing to send: the files are empty.", output.USAGE_STATUS)
    return (
        content[at : at + (size or len(content))]
        for content in contents
        for at in range(0, len(content), size or len(content) or 1)
    )


def _lines() -> Iterator[bytes]:
    if sys.stdin.isatty():
        output.note("Reading standard input, one request per line; Ctrl-D ends it.")
    return (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
