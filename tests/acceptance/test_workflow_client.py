"""``stoker client workflow ...`` and the typed clients against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow_kit import workflow_archive

from stoker.cli import stoker
from stoker.client import AsyncClient, CallError, Client, WorkflowPart
from stoker.testing.server import RunningServer, running_server

SPEC = {"models": {"timeout-ms": 60000}, "dag": {"start": ["upper", "words"]}}
FUNCTIONS = """
from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException

def start(data, context):
    if data is None:
        return None
    text = bytes(data[0]["data"]).decode()
    if text == "refuse":
        raise PredictionException("not today", 404)
    return [text]

def upper(data, context):
    return None if data is None else [bytes(data[0]["body"]).upper()]

def words(data, context):
    if data is None:
        return None
    first, *rest = [f"{word} " for word in bytes(data[0]["body"]).decode().split()]
    for index, word in enumerate([first, *rest[:-1]] if rest else []):
        send_intermediate_predict_response([word], context.request_ids, "ok", 200, context)
    return [rest[-1] if rest else first]
"""
CALL_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("wars")
    archives = [workflow_archive(folder, name, SPEC, handler=FUNCTIONS) for name in ("talk", "again")]
    archives.append(workflow_archive(folder, "loop", {"models": {}, "dag": {"a": ["a"]}}, handler=FUNCTIONS))
    with running_server(archives=archives) as server, Client(server.endpoint) as client:
        client.register_workflow("talk.war", timeout=CALL_S)
        yield server


class Commands:
    """`stoker client workflow`, in this process: starting Python for each would take most of the time."""

    def __init__(self, server: RunningServer, captured: pytest.CaptureFixture[str]) -> None:
        self._where = ["--inference", server.endpoint.inference, "--management", server.endpoint.management]
        self._captured = captured

    def run(self, *words: str) -> tuple[int, str, str]:
        """Returns the exit status, the output, and what is on standard error."""
        status = stoker.main(["client", *self._where, "workflow", *words])
        out, err = self._captured.readouterr()
        return int(status or 0), out, err

    def output(self, *words: str) -> str:
        status, out, err = self.run(*words)
        assert (status, err) == (0, "")
        return out


@pytest.fixture
def commands(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(server, capsys)


def test_a_workflow_is_registered_listed_described_and_unregistered(commands: Commands) -> None:
    sentence = "Workflow mine has been registered and scaled successfully."
    assert (
        commands.output("register", "again.war", "--name", "mine", "--json") == json.dumps({"status": sentence}) + "\n"
    )
    assert commands.output("list") == "mine\tagain.war\ntalk\ttalk.war\n"
    described = json.loads(commands.output("describe", "mine"))
    assert described[0]["workflowDag"] == "{start=[upper, words]}"
    assert [node["modelName"] for node in described[0]["nodes"]] == ["mine__start", "mine__upper", "mine__words"]
    assert all(node["ready"] for node in described[0]["nodes"])
    assert commands.output("unregister", "mine") == 'Workflow "mine" unregistered\n'
    assert [one["workflowName"] for one in json.loads(commands.output("list", "--json"))] == ["talk"]


def test_several_outputs_are_one_object_and_one_output_is_its_bytes(commands: Commands, tmp_path: Path) -> None:
    whole = commands.output("predict", "talk", "--text", "hello big world")
    assert json.loads(whole) == {"upper": "HELLO BIG WORLD", "words": "hello big world "}
    out = tmp_path / "out"
    assert commands.output("predict", "talk", "--text", "x", "--node", "upper", "-o", str(out)) == ""
    assert out.read_bytes() == b"X"
    status, told, traced = commands.run("predict", "talk", "--text", "x", "--node", "upper", "--trace")
    assert (status, told) == (0, "X")
    assert [line.partition(":")[0] for line in traced.splitlines()] == ["start", "upper"]


def test_a_stream_is_printed_as_it_comes(commands: Commands) -> None:
    assert commands.output("stream", "talk", "--text", "hello big world", "--node", "words") == "hello big world \n"
    lines = commands.output("stream", "talk", "--text", "a b", "--node", "words", "--json").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"node": "words", "data": "a ", "last": False},
        {"node": "words", "data": "b ", "last": True},
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["predict", "gone", "--text", "x"], "NOT_FOUND: Workflow not found: gone"),
        (["describe", "gone"], "NOT_FOUND: Workflow not found: gone"),
        (["unregister", "gone"], "NOT_FOUND: Workflow not found: gone"),
        (["register", "gone.war"], "NOT_FOUND: Workflow not found in workflow store: gone.war"),
        (["register", "talk.war"], "ALREADY_EXISTS: Workflow talk is already registered."),
        (["register", "loop.war"], "INVALID_ARGUMENT: Self loop exception"),
        (["register", "again.war", "--name", "a/b"], "INVALID_ARGUMENT: Workflow name contains special characters"),
        (["predict", "talk", "--text", "x", "--node", "gone"], "INVALID_ARGUMENT: Workflow talk has no node gone."),
        (["predict", "talk", "--text", "refuse"], "NOT_FOUND: Error executing start: not today"),
        (["stream", "talk", "--text", "refuse"], "NOT_FOUND: Error executing start: not today"),
    ],
)
def test_what_fails_is_one_sentence(commands: Commands, words: list[str], sentence: str) -> None:
    status, _, told = commands.run(*words)
    assert status == 1
    assert told.startswith(f"error: {sentence}")
    assert told.count("\n") == 1


async def test_both_typed_clients_get_the_same(server: RunningServer) -> None:
    with Client(server.endpoint) as client:
        whole = client.predict_workflow("talk", "a b", timeout=CALL_S)
        parts = list(client.stream_workflow("talk", "a b", nodes=["words"], timeout=CALL_S))
        described = client.describe_workflow("talk")
        listed = client.list_workflows()
        as_a_model = client.predict("talk", "a b", timeout=CALL_S).json()
    assert as_a_model == {"upper": "A B", "words": "a b "}
    assert whole.outputs == {"upper": b"A B", "words": b"a b "}
    assert parts == [WorkflowPart("words", b"a "), WorkflowPart("words", b"b ", last=True)]
    async with AsyncClient(server.endpoint) as client:
        again = await client.predict_workflow("talk", "a b", timeout=CALL_S)
        assert again.outputs == whole.outputs
        assert {node: how.attempts for node, how in again.trace.items()} == dict.fromkeys(
            ["start", "upper", "words"], 1
        )
        assert [p async for p in client.stream_workflow("talk", "a b", nodes=["words"], timeout=CALL_S)] == parts
        assert await client.describe_workflow("talk") == described
        assert await client.list_workflows() == listed
        sentence = await client.register_workflow("again.war", timeout=CALL_S)
        assert sentence == "Workflow again has been registered and scaled successfully."
        assert await client.unregister_workflow("again", timeout=CALL_S) == 'Workflow "again" unregistered'
        with pytest.raises(CallError) as error:
            await client.predict_workflow("again", b"x", timeout=CALL_S)
    assert (error.value.code.name, error.value.message) == ("NOT_FOUND", "Workflow not found: again")
    assert error.value.reason == "org.pytorch.serve.archive.workflow.WorkflowNotFoundException"
