"""Implements ``stoker client workflow ...``: the calls of workflows from the command line."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

import stoker.client
from stoker.cli import connecting, output, progress, sending
from stoker.client import Api

_EPILOG = """Examples:

  stoker client workflow register dog_breed.war

  stoker client workflow predict dog_breed kitten.jpg

  stoker client workflow predict dog_breed kitten.jpg --node cat_dog_classification --trace

  stoker client workflow stream story --text "Once upon a time"

  stoker client workflow list --json
"""

app = typer.Typer(no_args_is_help=True, help="Register workflows and send them requests.", epilog=_EPILOG)

Workflow = Annotated[str, typer.Argument(help="Name of the workflow.", show_default=False)]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--node", help="Node to return the output of, in place of the leaves; can be repeated."),
]


@app.command()
def register(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Archive in the server's workflow store, or URL.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name of the workflow, if not the archive's.")] = None,
    response_timeout: Annotated[
        int, typer.Option(min=0, help="Seconds that a batch of a node may take; 0: as the server says.")
    ] = 0,
    startup_timeout: Annotated[
        int, typer.Option(min=0, help="Seconds that a worker of a node may take to load; 0: as the server says.")
    ] = 0,
    wait: Annotated[bool, typer.Option(help="Wait until the workers of all nodes are ready.")] = True,
    as_json: output.AsJson = False,
) -> None:
    """Serve a workflow: all of its nodes, or none."""
    with (
        connecting.client(context, Api.MANAGEMENT) as (client, seconds),
        progress.spinner(f"Registering {url}", quiet=context.obj.quiet),
    ):
        message = client.register_workflow(
            url,
            workflow_name=name,
            response_timeout_s=response_timeout,
            startup_timeout_s=startup_timeout,
            synchronous=wait,
            timeout=seconds,
        )
    output.status(message, as_json)


@app.command()
def unregister(context: typer.Context, workflow: Workflow, as_json: output.AsJson = False) -> None:
    """Stop serving a workflow and its nodes."""
    with connecting.client(context, Api.MANAGEMENT) as (client, seconds):
        output.status(client.unregister_workflow(workflow, timeout=seconds), as_json)


@app.command("list")
def list_workflows(context: typer.Context, as_json: output.AsJson = False) -> None:
    """Show all workflows."""
    with connecting.client(context, Api.MANAGEMENT, connecting.QUERY_TIMEOUT_S) as (client, seconds):
        connecting.show_all("workflow", partial(client.list_workflows, timeout=seconds), as_json)


@app.command()
def describe(
    context: typer.Context,
    workflow: Workflow,
    _json: Annotated[bool, typer.Option("--json", help="No effect: the output is always JSON.")] = False,
) -> None:
    """Show settings, graph and nodes of a workflow, as JSON."""
    with connecting.client(context, Api.MANAGEMENT, connecting.QUERY_TIMEOUT_S) as (client, seconds):
        output.echo(json.dumps(client.describe_workflow(workflow, timeout=seconds), indent=2))


@app.command()
def predict(
    context: typer.Context,
    workflow: Workflow,
    inputs: sending.Inputs = None,
    text: sending.Text = None,
    nodes: Nodes = None,
    out: sending.Out = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show attempts and times of each node on stderr.")] = False,
) -> None:
    """Send one request and print the output; outputs of several nodes are one JSON object."""
    payload = sending.payload(inputs, text, out)
    with sending.awaited(context, workflow, payload) as (client, seconds):
        answer = client.predict_workflow(workflow, payload, nodes=nodes or (), timeout=seconds)
    data = _as_one(answer)
    output.answer(data, out)
    if trace:
        for node, how in answer.trace.items():
            output.note(_traced(node, how))


@app.command()
def stream(
    context: typer.Context,
    workflow: Workflow,
    inputs: sending.Inputs = None,
    text: sending.Text = None,
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per part, with its node.")] = False,
) -> None:
    """Send one request and print the parts of the output as they come. --json shows the node of each part."""
    payload = sending.payload(inputs, text)
    current = ""
    with connecting.client(context, Api.INFERENCE) as (client, seconds):
        for part in client.stream_workflow(workflow, payload, nodes=nodes or (), timeout=seconds):
            if as_json:
                output.echo(json.dumps({"node": part.node, "data": part.text, "last": part.last}))
                continue
            if part.node != current and current:
                output.part(f"\n{part.node}: ".encode())
            current = part.node
            output.part(part.data)
    if not as_json:
        output.echo("")


def _as_one(answer: stoker.client.WorkflowPrediction) -> bytes:
    """Joins several outputs into one JSON object: what is JSON stays JSON, all else becomes a string."""
    if len(answer.outputs) == 1:
        return answer.data
    return json.dumps(
        {node: _value(data) for node, data in answer.outputs.items()}, indent=2, ensure_ascii=False
    ).encode()


def _value(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _traced(node: str, how: stoker.client.NodeTrace) -> str:
    attempts = f", {how.attempts} attempts" if how.attempts != 1 else ""
    return f"{node}: waited {how.queue_s * 1000:.1f} ms, ran {how.run_s * 1000:.1f} ms{attempts}"
