"""Implements ``stoker client workflow ...``: the calls of workflows from the command line."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from stoker.cli import connecting, output, progress, sending
from stoker.cli.connecting import Connection
from stoker.client import Api, NodeTrace, WorkflowPrediction

_ASK_S = 10.0
_EPILOG = """Examples:

  stoker client workflow register dog_breed.war

  stoker client workflow predict dog_breed kitten.jpg

  stoker client workflow predict dog_breed kitten.jpg --node cat_dog_classification --trace

  stoker client workflow stream story --text "Once upon a time"

  stoker client workflow list --json
"""

app = typer.Typer(no_args_is_help=True, help="Register workflows, and ask them.", epilog=_EPILOG)

Workflow = Annotated[str, typer.Argument(help="Name of the workflow.", show_default=False)]
Nodes = Annotated[
    list[str] | None, typer.Option("--node", help="Node whose output is wanted, if not the leaves'; repeat.")
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
    connection: Connection = context.obj
    seconds = connection.within(None)
    with (
        connection.client(Api.MANAGEMENT, timeout=seconds) as client,
        progress.spinner(f"Registering {url}", quiet=connection.quiet),
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
    connection: Connection = context.obj
    seconds = connection.within(None)
    with connection.client(Api.MANAGEMENT, timeout=seconds) as client:
        output.status(client.unregister_workflow(workflow, timeout=seconds), as_json)


@app.command("list")
def list_workflows(context: typer.Context, as_json: output.AsJson = False) -> None:
    """Show all workflows."""
    connection: Connection = context.obj
    seconds = connection.within(_ASK_S)
    with connection.client(Api.MANAGEMENT, timeout=seconds) as client:
        found = connecting.all_pages(partial(client.list_workflows, timeout=seconds), "workflows")
    if as_json:
        output.say(json.dumps(found, indent=2))
    else:
        output.table(["workflow", "archive"], [[one["workflowName"], one["workflowUrl"]] for one in found])


@app.command()
def describe(
    context: typer.Context,
    workflow: Workflow,
    _json: Annotated[bool, typer.Option("--json", help="Always so.")] = False,
) -> None:
    """Show settings, graph and nodes of a workflow, as JSON."""
    connection: Connection = context.obj
    seconds = connection.within(_ASK_S)
    with connection.client(Api.MANAGEMENT, timeout=seconds) as client:
        output.say(json.dumps(client.describe_workflow(workflow, timeout=seconds), indent=2))


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
    """Send one request, print the output; of several nodes, one JSON object."""
    connection: Connection = context.obj
    seconds = connection.within(None)
    if out is not None:
        sending.check_writable(out)
    payload = sending.payload(inputs or [], text)
    with (
        connection.client(Api.INFERENCE, timeout=seconds) as client,
        progress.spinner(f"Sent {sending.size(payload)} to {workflow}, waiting for its answer", quiet=connection.quiet),
    ):
        answer = client.predict_workflow(workflow, payload, nodes=nodes or (), timeout=seconds)
    data = _as_one(answer)
    if out is None:
        output.answer(data)
    else:
        output.write_file(out, data)
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a part, with its node.")] = False,
) -> None:
    """Send one request, print the parts of the output as they come. --json tells the node of each part."""
    connection: Connection = context.obj
    seconds = connection.within(None)
    payload = sending.payload(inputs or [], text)
    current = ""
    with connection.client(Api.INFERENCE, timeout=seconds) as client:
        for part in client.stream_workflow(workflow, payload, nodes=nodes or (), timeout=seconds):
            if as_json:
                output.say(json.dumps({"node": part.node, "data": part.text, "last": part.last}))
                continue
            if part.node != current and current:
                output.part(f"\n{part.node}: ".encode())
            current = part.node
            output.part(part.data)
    if not as_json:
        output.say("")


def _as_one(answer: WorkflowPrediction) -> bytes:
    """Makes one output of several: what is JSON stays JSON, all else is a string."""
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


def _traced(node: str, how: NodeTrace) -> str:
    attempts = f", {how.attempts} attempts" if how.attempts != 1 else ""
    return f"{node}: waited {how.queue_s * 1000:.1f} ms, ran {how.run_s * 1000:.1f} ms{attempts}"
