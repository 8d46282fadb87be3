"""``stoker client ...``: every call of the gRPC APIs from the command line, on the typed client."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stoker.cli import output
from stoker.client import CallError, Client, Endpoint

app = typer.Typer(no_args_is_help=True, help="Talk to a stoker or TorchServe server over gRPC.")

Model = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
Version = Annotated[str | None, typer.Option("--version", help="Version; its default one if not given.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds; sent as the call's deadline.")]


@app.callback()
def connect(
    context: typer.Context,
    inference: Annotated[str, typer.Option(help="HOST:PORT or unix:/path of the inference API.")] = "127.0.0.1:7070",
    management: Annotated[str, typer.Option(help="HOST:PORT of the management API.")] = "127.0.0.1:7071",
    token: Annotated[
        str | None, typer.Option(envvar="STOKER_TOKEN", help="Token of the inference API.", show_envvar=True)
    ] = None,
    management_token: Annotated[
        str | None, typer.Option(envvar="STOKER_MANAGEMENT_TOKEN", help="Token of the management API.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Take both tokens from this file, the server's key_file.json.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS, and trust the system's authorities.")] = False,
    ca_file: Annotated[Path | None, typer.Option(help="Use TLS, and trust the authorities in this PEM file.")] = None,
    client_cert: Annotated[Path | None, typer.Option(help="PEM file with the client's certificate.")] = None,
    client_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
) -> None:
    from_file = _tokens(token_file) if token_file is not None else {}
    if (client_cert is None) != (client_key is None):
        output.fail("--client-cert and --client-key belong together")
    if client_cert is not None and ca_file is None and not tls:
        output.fail("--client-cert is for TLS: add --ca-file, or --tls")
    context.obj = Endpoint(
        inference=inference,
        management=management,
        token=token or from_file.get("inference"),
        management_token=management_token or from_file.get("management"),
        root_certificates=_read(ca_file) or (b"" if tls else None),
        client_certificate=_read(client_cert),
        client_key=_read(client_key),
    )


def _read(file: Path | None) -> bytes | None:
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        output.fail(f"{file}: {error.strerror}")


def _tokens(file: Path) -> dict[str, str]:
    """Of the format of key_file.json, or plain words."""
    try:
        content = json.loads(_read(file) or b"")
        found = {kind: content.get(kind) for kind in ("inference", "management")}
    except (ValueError, AttributeError):
        output.fail(f"{file}: not a file with tokens")
    words = {kind: member.get("key") if isinstance(member, dict) else member for kind, member in found.items()}
    return {kind: word for kind, word in words.items() if isinstance(word, str)}


@contextmanager
def _connected(context: typer.Context) -> Iterator[Client]:
    """A failed call ends the command with one line on stderr and status 1."""
    try:
        with Client(context.obj) as client:
            yield client
    except CallError as error:
        output.fail(str(error))


def _payload(inputs: list[str], text: str | None) -> dict[str, bytes]:
    """``NAME=FILE`` or ``FILE`` (then the name is ``data``); ``-`` is standard input."""
    named = {"data": text.encode()} if text is not None else {}
    for item in inputs:
        name, _, path = item.rpartition("=")
        try:
            named[name or "data"] = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        except OSError as error:
            output.fail(f"{path}: {error.strerror}")
    if not named:
        output.fail("nothing to send: give a FILE, NAME=FILE, - for standard input, or --text")
    return named


Inputs = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME=]FILE...", help="What to send; the name is 'data' if not given.")
]
Text = Annotated[str | None, typer.Option(help="Send this text as the input 'data'.")]
Out = Annotated[Path | None, typer.Option("--output", "-o", help="Write the answer's bytes into this file.")]


@app.command()
def ping(context: typer.Context) -> None:
    """Ask for the server's health (TorchServe's rule)."""
    with _connected(context) as client:
        output.say(client.ping())


@app.command()
def health(
    context: typer.Context, name: Annotated[str, typer.Argument(help="'', MODEL or MODEL/VERSION")] = ""
) -> None:
    """Ask grpc.health.v1, as Kubernetes does. Status 1 unless SERVING."""
    with _connected(context) as client:
        status = client.health(name)
    output.say(status)
    raise typer.Exit(0 if status == "SERVING" else 1)


@app.command()
def predict(
    context: typer.Context,
    model: Model,
    inputs: Inputs = None,
    text: Text = None,
    version: Version = None,
    timeout: Timeout = None,
    out: Out = None,
) -> None:
    """Send one request, print the answer."""
    with _connected(context) as client:
        answer = client.predict(model, _payload(inputs or [], text), version=version, timeout=timeout)
    if out is not None:
        out.write_bytes(answer.data)
    else:
        output.answer(answer.data)


@app.command()
def stream(
    context: typer.Context,
    model: Model,
    inputs: Inputs = None,
    text: Text = None,
    version: Version = None,
    timeout: Timeout = None,
) -> None:
    """Send one request, print the parts of the answer as they come."""
    with _connected(context) as client:
        for part in client.predict_stream(model, _payload(inputs or [], text), version=version, timeout=timeout):
            output.part(part.data)
    output.say("")


@app.command()
def register(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Archive in the server's model store, or URL.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name of the model, if not the archive's.")] = None,
    workers: Annotated[int, typer.Option(help="Workers to start.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Most requests per batch; 0: as the archive says.")] = 0,
    max_batch_delay: Annotated[int, typer.Option(help="Milliseconds; 0: as the archive says.")] = 0,
    wait: Annotated[bool, typer.Option(help="Wait until the workers are ready.")] = True,
) -> None:
    """Serve a model."""
    with _connected(context) as client:
        message = client.register(
            url,
            model_name=name,
            initial_workers=workers,
            batch_size=batch_size,
            max_batch_delay_ms=max_batch_delay,
            synchronous=wait,
        )
    output.say(message)


@app.command()
def unregister(context: typer.Context, model: Model, version: Version = None) -> None:
    """Stop serving a model, or one version of it."""
    with _connected(context) as client:
        output.say(client.unregister(model, version=version))


@app.command()
def scale(
    context: typer.Context,
    model: Model,
    min_workers: Annotated[int, typer.Argument(min=1, help="At least so many workers.", show_default=False)],
    max_workers: Annotated[int, typer.Option(help="At most so many; 0: as many as MIN_WORKERS.")] = 0,
    version: Version = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = True,
) -> None:
    """Set the number of a model's workers."""
    with _connected(context) as client:
        message = client.scale(
            model, min_workers=min_workers, max_workers=max_workers, version=version, synchronous=wait
        )
    output.say(message)


@app.command("set-default")
def set_default(
    context: typer.Context, model: Model, version: Annotated[str, typer.Argument(show_default=False)]
) -> None:
    """Make a version the one that requests without a version go to."""
    with _connected(context) as client:
        output.say(client.set_default(model, version))


@app.command("list")
def list_models(context: typer.Context, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show all models."""
    models: list[dict[str, Any]] = []
    with _connected(context) as client:
        page: dict[str, Any] = {"nextPageToken": "0"}
        while "nextPageToken" in page and (page := client.list_models(offset=int(page["nextPageToken"])))["models"]:
            models += page["models"]
    if as_json:
        output.say(json.dumps(models, indent=2))
    else:
        output.table(["model", "archive"], [[m["modelName"], m["modelUrl"]] for m in models])


@app.command()
def describe(
    context: typer.Context,
    model: Model,
    version: Annotated[str | None, typer.Option("--version", help="A version, or 'all'.")] = None,
    customized: Annotated[bool, typer.Option(help="Ask the handler for its own description too.")] = False,
) -> None:
    """Show settings, workers and queue of a model, as JSON."""
    with _connected(context) as client:
        output.say(json.dumps(client.describe(model, version=version, customized=customized), indent=2))
