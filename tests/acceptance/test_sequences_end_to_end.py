"""Sequences through real workers: TorchServe's two examples of stateful inference, deaths, every way to call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from model_kit import model_archive

from stoker.client import AsyncClient, CallError, Client, SequencePart, SequenceRequest
from stoker.testing.server import RunningServer, running_server

SUMS = '''
"""The sum of the numbers of a sequence, which only its worker knows."""
import os

sums = {}

def handle(data, context):
    if data is None:
        return None
    answers = []
    if context.get_request_header(0, "describe") == "True":
        return [{"sums": len(sums), "rows": len(data)}]
    for index, row in enumerate(data):
        name = context.get_sequence_id(index)
        if context.get_request_header(index, "ts_request_sequence_opened") == "true":
            sums[name] = 0
        value = row.get("data") or row.get("body")
        text = value.decode() if isinstance(value, (bytes, bytearray)) else str(value)
        if text == "die":
            os._exit(3)
        sums[name] += int(text)
        answers.append(str(sums[name]))
    return answers
'''
STEPS = '''
"""As TorchServe's example: odd numbers are answered in parts, which -1 cuts short; 0 ends the sequence."""
import time

sums, texts, stopped = {}, {}, set()

def handle(data, context):
    if data is None:
        return None
    answers, criteria = [], []
    for index, row in enumerate(data):
        name, request = context.get_sequence_id(index), context.request_ids[index]
        if request not in texts:
            if context.get_request_header(index, "ts_request_sequence_opened") == "true":
                sums[name] = 0
            number = int(bytes(row.get("data") or row.get("body")).decode())
            sums[name] += max(number, 0)
            texts[request] = [number, 200 if number == 5 else 3, str(sums[name])]
            if number == -1:
                stopped.add(name)
        number, left, text = texts[request]
        if number <= 0 or number % 2 == 0:
            if number == 0:
                context.set_response_header(index, "ts_request_sequence_end", name)
            answers.append(str(number) if number < 0 else text)
            criteria.append(lambda part: None)
            continue
        texts[request][1] = left - 1 if name not in stopped else 0
        answers.append(text)
        criteria.append(lambda part, last=texts[request][1] <= 0: last)
    time.sleep(0.02)
    context.stopping_criteria = criteria
    return answers
'''
LIMITS = "sequenceBatching: true\nsequenceMaxIdleMSec: {idle}\nmaxNumSequence: 3\nmaxSequenceJobQueueSize: 4\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("archives")
    workers = "minWorkers: 2\nmaxWorkers: 2\nbatchSize: 4\n"
    archives = [
        model_archive(folder, "sums", SUMS, config=workers + LIMITS.format(idle=60_000)),
        model_archive(folder, "brief", SUMS, config=workers + LIMITS.format(idle=100)),
        model_archive(folder, "shrinking", SUMS, config=workers + LIMITS.format(idle=60_000)),
        model_archive(
            folder, "steps", STEPS, config=workers + LIMITS.format(idle=60_000) + "continuousBatching: true\n"
        ),
    ]
    with running_server(archives=archives, settings={"load_models": "all"}) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.endpoint) as it:
        yield it


def requests(model: str, *numbers: object, id: str = "", end: bool = True) -> list[SequenceRequest]:
    made = [SequenceRequest(model, str(number), id, start=not id) for number in numbers]
    return [*made[:-1], made[-1]._replace(end=end)]


def answers(parts: list[SequencePart]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in parts:
        assert part.error is None, part.error
        found.setdefault(part.sequence_id, []).append(part.text)
    return found


def test_two_sequences_add_up_side_by_side_in_one_call(client: Client) -> None:
    ours = requests("sums", 1, 3, 5, 7, 9, id="seq_0"), requests("sums", 2, 4, 6, 8, 10, id="seq_1")
    mixed = [request for pair in zip(*ours, strict=True) for request in pair]
    assert answers(list(client.predict_sequences(mixed, timeout=30))) == {
        "seq_0": ["1", "4", "9", "16", "25"],
        "seq_1": ["2", "6", "12", "20", "30"],
    }


async def test_the_asynchronous_client_talks_while_it_listens(server: RunningServer) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def numbers():  # type: ignore[no-untyped-def]
        yield SequenceRequest("sums", "1", start=True)
        for _ in range(3):  # each is twice what came back
            yield SequenceRequest("sums", await heard.get())
        yield SequenceRequest("sums", "0", end=True)

    texts = []
    async with AsyncClient(server.endpoint) as client:
        async for part in client.predict_sequences(numbers(), timeout=30):
            texts.append(part.text)
            heard.put_nowait(part.text)
    assert texts == ["1", "2", "4", "8", "8"]


def test_a_sequence_goes_on_over_http_and_every_grpc_call(client: Client, server: RunningServer) -> None:
    first = client.predict("sums", "1", timeout=30)
    assert first.text == "1" and first.sequence_id.startswith("ts-seq-")
    id = first.sequence_id
    assert first.headers["ts_request_sequence_id"] == id
    (part,) = client.predict_stream("sums", "2", sequence_id=id, timeout=30)
    assert part.text == "3"
    headers = {"ts_request_sequence_id": id, "content-type": "text/plain"}
    response = httpx.post(f"{server.inference}/predictions/sums", content="3", headers=headers, timeout=60)
    assert (response.text, response.headers["ts_request_sequence_id"]) == ("6", id)
    assert answers(list(client.predict_sequences(requests("sums", 4, id=id), timeout=30))) == {id: ["10"]}


def test_requests_over_http_without_an_id_begin_sequences_of_their_own(server: RunningServer) -> None:
    url = f"{server.inference}/predictions/sums"
    ids = set()
    for _ in range(2):
        ended = {"ts_request_sequence_end": "true", "content-type": "text/plain"}
        response = httpx.post(url, content="5", headers=ended, timeout=60)
        assert response.text == "5"
        ids.add(response.headers["ts_request_sequence_id"])
    assert len(ids) == 2


def test_more_sequences_than_may_be_open_are_refused_and_an_end_frees_a_place(client: Client) -> None:
    many = [SequenceRequest("sums", "1", id) for id in "abcd"]
    parts = list(client.predict_sequences(many, timeout=30))
    (refused,) = [part for part in parts if part.error is not None]
    assert refused.error is not None
    assert (refused.sequence_id, refused.error.code) == ("d", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert answers(list(client.predict_sequences(requests("sums", 1, id="a"), timeout=30))) == {"a": ["2"]}
    assert answers(list(client.predict_sequences([many[3]], timeout=30))) == {"d": ["1"]}
    for id in "bcd":
        client.predict("sums", {"data": b"0", "ts_request_sequence_end": b"true"}, sequence_id=id, timeout=30)


def test_an_idle_sequence_is_closed_and_its_id_begins_anew(client: Client) -> None:
    assert client.predict("brief", "1", sequence_id="a", timeout=30).text == "1"
    texts = []
    while "1" not in texts:  # as soon as it was idle for long enough; each request begins that time anew
        asyncio.run(asyncio.sleep(0.2))
        texts.append(client.predict("brief", "1", sequence_id="a", timeout=30).text)
        assert len(texts) < 100


def test_a_death_closes_the_sequences_of_the_worker_with_a_clear_error_and_it_comes_back(client: Client) -> None:
    assert client.predict("sums", "1", sequence_id="victim", timeout=30).text == "1"
    parts = list(client.predict_sequences(requests("sums", 2, "die", 4, 5, id="victim"), timeout=30))
    assert (parts[0].error, parts[0].text) == (None, "3")
    failed = [part.error for part in parts if part.error is not None]
    assert failed and all(error.code is grpc.StatusCode.UNAVAILABLE for error in failed)
    assert all("exit code 3" in str(error) for error in failed)
    later = [
        part.text for part in parts[2:] if part.error is None
    ]  # came after the death: a new sum, never the old one
    assert later in ([], ["5"], ["4", "9"])
    assert client.predict("sums", "7", sequence_id="victim", timeout=30).text == "7"  # it begins anew
    client.predict("sums", {"data": b"0", "ts_request_sequence_end": b"true"}, sequence_id="victim", timeout=30)
    while sum(worker["status"] == "READY" for worker in client.describe("sums")[0]["workers"]) < 2:
        asyncio.run(asyncio.sleep(0.2))


def test_answers_keep_the_order_of_requests_where_they_batch_continuously(client: Client) -> None:
    parts = answers(list(client.predict_sequences(requests("steps", 2, 4, 6, 1, 2, id="s"), timeout=30)))
    assert parts == {"s": ["2", "6", "12", "13", "13", "13", "15"]}


@pytest.mark.parametrize("round", range(4))
def test_the_handler_ends_a_sequence_and_frees_its_place(client: Client, round: int) -> None:
    id = f"round {round}"
    assert answers(list(client.predict_sequences(requests("steps", 2, 0, id=id, end=False), timeout=30))) == {
        id: ["2", "2"]
    }


def test_a_later_request_of_the_sequence_can_stop_one_that_streams(client: Client) -> None:
    parts = answers(list(client.predict_sequences(requests("steps", 2, 5, -1, id="t"), timeout=30)))["t"]
    assert parts[0] == "2" and parts[-1] == "-1"
    assert 1 <= parts.count("7") < 200  # it would be told so often


def test_the_command_line_sends_lines_and_pieces_as_one_sequence(server: RunningServer, tmp_path: Path) -> None:
    stoker = [sys.executable, "-m", "stoker.cli.stoker"]
    command = [*stoker, "client", "--inference", server.endpoint.inference, "sequence"]
    lines = subprocess.run([*command, "sums"], input=b"1\n2\n3\n", capture_output=True, timeout=60, check=True)
    assert lines.stdout.split() == [b"1", b"3", b"6"]
    file = tmp_path / "digits"
    file.write_bytes(b"12345")
    pieces = subprocess.run([*command, "sums", file, "--piece", "2"], capture_output=True, timeout=60, check=True)
    assert pieces.stdout.split() == [b"12", b"46", b"51"]
    wrong = subprocess.run([*command, "nothing"], input=b"1\n", capture_output=True, timeout=60, check=False)
    assert wrong.returncode == 1
    assert b"NOT_FOUND: Model not found: nothing" in wrong.stderr


def test_the_client_of_torchserves_name_sends_files_as_a_sequence(server: RunningServer, tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).write_text(name)
    script = Path(__file__).resolve().parents[2] / "ts_scripts" / "torchserve_grpc_client.py"
    command = [sys.executable, script, "--inference", server.endpoint.inference, "infer_stream2", "sums", "old client"]
    done = subprocess.run([*command, "1, 2"], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"1", b"3"]
    (tmp_path / "word").write_text("x")
    failed = subprocess.run([*command, "2,word"], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (failed.returncode, failed.stdout.split()) == (1, [b"5"])
    assert b"Prediction failed" in failed.stderr


def test_a_bad_id_is_refused_over_http_and_grpc(client: Client, server: RunningServer) -> None:
    with pytest.raises(CallError) as refused:
        client.predict("sums", "1", sequence_id="a;b", timeout=30)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    response = httpx.post(
        f"{server.inference}/predictions/sums", content="5", headers={"ts_request_sequence_id": "a;b"}, timeout=60
    )
    assert response.status_code == 400


def test_a_description_is_no_request_of_a_sequence(client: Client) -> None:
    """Upstream it waits forever, or is refused."""
    (described,) = client.describe("sums", customized=True, timeout=30)
    assert described["customizedMetadata"]["rows"] == 1
    assert described["stateful"] is True
    assert (described["maxNumSequence"], described["sequenceMaxIdleMSec"]) == (3, 60_000)


def test_a_worker_that_drains_serves_its_sequences_until_they_close(client: Client) -> None:
    """Without them it would stop at once: nothing runs there, and the state would be lost."""
    ids = ("a", "b")
    assert answers(list(client.predict_sequences([SequenceRequest("shrinking", "1", id) for id in ids], timeout=30)))
    client.scale("shrinking", min_workers=1, timeout=30)
    for expected in ("2", "3", "4"):
        assert [client.predict("shrinking", "1", sequence_id=id, timeout=30).text for id in ids] == [expected] * 2
    assert len(client.describe("shrinking")[0]["workers"]) == 2
    for id in ids:
        client.predict("shrinking", {"data": b"0", "ts_request_sequence_end": b"true"}, sequence_id=id, timeout=30)
    while len(client.describe("shrinking")[0]["workers"]) > 1:
        asyncio.run(asyncio.sleep(0.2))
