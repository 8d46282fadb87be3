"""Implements ``stoker client ...``: every call of the gRPC APIs from the command line, with the typed client."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from stoker.cli import connecting, output, sending, sequence_client, workflow_client
from stoker.cli.connecting import Version
from stoker.cli.registering import watched
from stoker.client import Api

_EPILOG = """Options may come before or after the command.

Exit status: 0 done; 1 the call failed, a file cannot be read, or not SERVING; 2 wrong usage.

Examples:

  stoker client register densenet161.mar --workers 2

  stoker client predict densenet161 kitten.jpg

  stoker client predict translator text=letter.txt --output answer.bin

  stoker client stream chat --text "Tell me a story"

  stoker client sequence voice_activity speech.pcm --piece 1024

  stoker client --address gpu-box --token-file key_file.json describe densenet161

  stoker client list --json --address https://models.example.com:7071
"""

app = typer.Typer(no_args_is_help=True, help="Talk to a stoker or TorchServe server over gRPC.", epilog=_EPILOG)
app.add_typer(workflow_client.app, name="workflow")
app.callback()(connecting.connect)
app.command()(sequence_client.sequence)

Model = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]


@app.command()
def ping(context: typer.Context, as_json: output.AsJson = False) -> None:
    """Ask whether the server is healthy, by TorchServe's rule."""
    with connecting.client(context, Api.INFERENCE, connecting.QUERY_TIMEOUT_S) as (client, seconds):
        output.status(client.ping(timeout=seconds), as_json)


@app.command()
def health(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="'' for the server, MODEL or MODEL/VERSION.")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Ask grpc.health.v1, as Kubernetes does. Exit status 1 unless SERVING."""
    with connecting.client(context, Api.INFERENCE, connecting.QUERY_TIMEOUT_S) as (client, seconds):
        status = client.health(name, timeout=seconds)
    output.status(status, as_json)
    raise typer.Exit(0 if status == "SERVING" else 1)


@app.command()
def predict(
    context: typer.Context,
    model: Model,
    inputs: sending.Inputs = None,
    text: sending.Text = None,
    version: Version = None,
    out: sending.Out = None,
) -> None:
    """Send one request and print the answer. Also called 'infer'."""
    payload = sending.payload(inputs, text, out)
    with sending.awaited(context, model, payload) as (client, seconds):
        answer = client.predict(model, payload, version=version, timeout=seconds)
    output.answer(answer.data, out)


@app.command()
def stream(
    context: typer.Context,
    model: Model,
    inputs: sending.Inputs = None,
    text: sending.Text = None,
    version: Version = None,
) -> None:
    """Send one request and print the parts of the answer as they come. Also called 'infer_stream'."""
    payload = sending.payload(inputs, text)
    with connecting.client(context, Api.INFERENCE) as (client, seconds):
        for part in client.predict_stream(model, payload, version=version, timeout=seconds):
            output.part(part.data)
    output.echo("")


@app.command()
def register(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Archive in the server's model store, or URL.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name of the model, if not the archive's.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Workers to start.")] = 1,
    batch_size: Annotated[int, typer.Option(min=0, help="Most requests per batch; 0: as the archive says.")] = 0,
    max_batch_delay: Annotated[int, typer.Option(min=0, help="Milliseconds; 0: as the archive says.")] = 0,
    response_timeout: Annotated[
        int, typer.Option(min=0, help="Seconds that a batch may take; 0: as the archive says.")
    ] = 0,
    startup_timeout: Annotated[
        int, typer.Option(min=0, help="Seconds that a worker may take to load; 0: as the archive says.")
    ] = 0,
    handler: Annotated[str | None, typer.Option(help="Handler in place of the archive's: MODULE:FUNCTION.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the workers are ready.")] = True,
    as_json: output.AsJson = False,
) -> None:
    """Serve a model."""
    with (
        connecting.client(context, Api.MANAGEMENT) as (client, seconds),
        watched(context.obj, f"Registering {url}", model=name or _likely_name(url)),
    ):
        message = client.register(
            url,
            model_name=name,
            handler=handler,
            initial_workers=workers,
            batch_size=batch_size,
            max_batch_delay_ms=max_batch_delay,
            response_timeout_s=response_timeout,
            startup_timeout_s=startup_timeout,
            synchronous=wait,
            timeout=seconds,
        )
    output.status(message, as_json)


@app.command()
def unregister(context: typer.Context, model: Model, version: Version = None, as_json: output.AsJson = False) -> None:
    """Stop serving a model, or one version of it."""
    with connecting.client(context, Api.MANAGEMENT) as (client, seconds):
        output.status(client.unregister(model, version=version, timeout=seconds), as_json)


@app.command()
def scale(
    context: typer.Context,
    model: Model,
    min_workers: Annotated[int, typer.Argument(min=1, help="Fewest workers.", show_default=False)],
    max_workers: Annotated[int, typer.Option(min=0, help="Most workers; 0: the same as MIN_WORKERS.")] = 0,
    version: Version = None,
    wait: Annotated[bool, typer.Option(help="Wait until the workers have started or stopped.")] = True,
    as_json: output.AsJson = False,
) -> None:
    """Set the number of a model's workers."""
    with (
        connecting.client(context, Api.MANAGEMENT) as (client, seconds),
        watched(context.obj, f"Scaling {model}", model=model, version=version),
    ):
        message = client.scale(
            model,
            min_workers=min_workers,
            max_workers=max_workers,
            version=version,
            synchronous=wait,
            timeout=seconds,
        )
    output.status(message, as_json)


@app.command("set-default")
def set_default(
    context: typer.Context,
    model: Model,
    version: Annotated[str, typer.Argument(show_default=False)],
    as_json: output.AsJson = False,
) -> None:
    """Set the version that requests without a version go to."""
    with connecting.client(context, Api.MANAGEMENT) as (client, seconds):
        output.status(client.set_default(model, version, timeout=seconds), as_json)


@app.command("list")
def list_models(context: typer.Context, as_json: output.AsJson = False) -> None:
    """Show all models."""
    with connecting.client(context, Api.MANAGEMENT, connecting.QUERY_TIMEOUT_S) as (client, seconds):
        connecting.show_all("model", partial(client.list_models, timeout=seconds), as_json)


@app.command()
def describe(
    context: typer.Context,
    model: Model,
    version: Annotated[str | None, typer.Option("--version", help="A version, or 'all'.")] = None,
    customized: Annotated[bool, typer.Option(help="Add the handler's own description.")] = False,
    _json: Annotated[bool, typer.Option("--json", help="No effect: the output is always JSON.")] = False,
) -> None:
    """Show settings, workers and queue of a model, as JSON."""
    with connecting.client(context, Api.MANAGEMENT, connecting.QUERY_TIMEOUT_S) as (client, seconds):
        found = client.describe(model, version=version, customized=customized, timeout=seconds)
    output.echo(json.dumps(found, indent=2))


def _likely_name(url: str) -> str:
    """Guesses the model's name before the server has read its manifest."""
    name = url.rstrip("/").rpartition("/")[2].partition("?")[0]
    return name.removesuffix(".tar.gz").removesuffix(".mar").removesuffix(".model")
