"""Workflows with real archives and worker processes, without a frontend: what TorchServe gets wrong, and more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from model_kit import model_archive
from waiting import until
from workflow_kit import workflow_archive

from stoker import errors
from stoker.archive.store import ModelStore, WorkflowStore
from stoker.config.settings import Settings
from stoker.core.clock import MonotonicClock
from stoker.core.job import Input
from stoker.core.measures import WorkflowCounters
from stoker.core.ports import Health, ScaleRequest
from stoker.core.sequences import SequenceReply
from stoker.core.workflows import RegisterWorkflowRequest
from stoker.pool.devices import Devices
from stoker.registry.registry import Registry
from stoker.workflows.service import Workflows

FUNCTIONS = """
import os, signal, time

def note(data, name):
    with open(os.path.join("FOLDER", name), "ab", buffering=0) as file:
        file.write(b"".join(bytes(row.get("data") or row.get("body")) + b"\\n" for row in data))

def value(data):
    return bytes(data[0].get("data") or data[0].get("body"))

def pre(data, context):
    if data is None:
        note([{"data": f"initialised, manifest {context.manifest}".encode()}], "pre.loaded")
        return None
    note(data, "pre")
    return [value(data)]

def post(data, context):
    if data is None:
        return None
    note(data, "post")
    return [value(data)]

def acts(data, context):
    if data is None:
        return None
    word = value(data).decode()
    note(data, "acts")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "raise":
        raise ValueError("no such thing")
    if word.startswith("sleep "):
        time.sleep(float(word[6:]))
    return [word]

def parts(data, context):
    if data is None:
        return None
    from ts.handler_utils.utils import send_intermediate_predict_response
    for _ in range(3):
        send_intermediate_predict_response([b"part "], context.request_ids, "ok", 200, context)
    return [b"end"]

def helped(data, context):
    if data is None:
        return None
    import extra_module
    return [extra_module.WORD]

def kinds(data, context):
    if data is None:
        return None
    return [" ".join(f"{name}={type(given).__name__}" for name, given in sorted(data[0].items()))]

def counts(data, context):
    return None if data is None else [str(len(data))] * len(data)
"""
ANGLE = """
def handle(data, context):
    return None if data is None else [b"<" + row["body"] + b">" for row in data]
"""
SUMS = """
sums = {}

def handle(data, context):
    if data is None:
        return None
    answers = []
    for index, row in enumerate(data):
        sequence = context.get_sequence_id(index)
        sums[sequence] = sums.get(sequence, 0) + int(row["body"])
        answers.append(str(sums[sequence]))
    return answers
"""
TWO = {"models": {"retry-attempts": 0, "timeout-ms": 60000}, "dag": {"pre": ["post"]}}


class Running:
    """Workflows, their registry, and a folder in which functions note what they got."""

    def __init__(self, folder: Path, registry: Registry, workflows: Workflows, counters: WorkflowCounters) -> None:
        self.folder = folder
        self.registry = registry
        self.workflows = workflows
        self.counters = counters

    async def register(self, name: str, specification: dict[str, Any], **archive: Any) -> None:
        source = FUNCTIONS.replace("FOLDER", str(self.folder))
        workflow_archive(self.folder / "store", name, specification, handler=source, **archive)
        await self.workflows.register_workflow(RegisterWorkflowRequest(url=f"{name}.war"))

    async def ask(self, name: str, word: str, *, deadline_s: float | None = None) -> str:
        deadline = None if deadline_s is None else time.monotonic() + deadline_s
        reply = self.registry.submit(name, None, [Input("data", "", word.encode())], deadline=deadline)
        parts = []
        while (chunk := await reply.next()) is not None:
            parts.append(bytes(chunk.data))
        return b"".join(parts).decode()

    def noted(self, function: str) -> list[str]:
        path = self.folder / function
        return path.read_text().splitlines() if path.exists() else []

    def unpacked(self) -> list[Path]:
        return [Path(place) for place, _, files in os.walk(self.folder / "temp") if "functions.py" in files]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with started(tmp_path) as it:
        yield it


@contextlib.asynccontextmanager
async def started(folder: Path, **settings: Any) -> AsyncIterator[Running]:
    for name in ("store", "temp"):
        (folder / name).mkdir()
    values = Settings(model_store=folder / "store", temp_dir=folder / "temp", job_queue_size=1000, **settings)
    models = ModelStore(folder / "store", temp_dir=folder / "temp")
    wars = WorkflowStore(folder / "store", temp_dir=folder / "temp")
    registry = Registry(settings=values, store=models, devices=Devices(), clock=MonotonicClock())
    counters = WorkflowCounters()
    workflows = Workflows(
        settings=values, registry=registry, store=wars, clock=MonotonicClock(), counters=lambda name: counters
    )
    registry.attach(workflows)
    try:
        async with registry:
            yield Running(folder, registry, workflows, counters)
            await workflows.close()
    finally:
        models.close()
        wars.close()


# ---------------------------------------------------------------------------------------------- nothing lost


@pytest.mark.timeout(600)
async def test_of_ten_thousand_requests_of_instant_functions_none_is_lost_and_none_runs_twice(running: Running) -> None:
    """TorchServe lost 3 % of the replies of quick nodes for each hop: it waited ten seconds, and ran the node again."""
    await running.register("two", TWO)
    words = [f"request {number}" for number in range(10_000)]
    gate = asyncio.Semaphore(200)

    async def one(word: str) -> str:
        async with gate:
            return await running.ask("two", word)

    answers = await asyncio.gather(*map(one, words))

    assert answers == words
    assert Counter(running.noted("pre")) == Counter(words)
    assert Counter(running.noted("post")) == Counter(words)
    assert (running.counters.ok, running.counters.failed, running.counters.retries) == (10_000, 0, {})


async def test_many_requests_of_a_slow_function_at_once_are_all_served(running: Running) -> None:
    """TorchServe was stuck at "more than 14 requests"."""
    await running.register("slow", {"models": {"timeout-ms": 60000}, "dag": {"acts": []}})
    answers = await asyncio.gather(*(running.ask("slow", "sleep 0.01") for _ in range(60)))

    assert answers == ["sleep 0.01"] * 60


async def test_requests_that_fail_leave_no_thread_and_no_task(running: Running) -> None:
    """TorchServe kept up to four threads of each failed request forever."""
    await running.register("w", {"models": {"retry-attempts": 0, "timeout-ms": 9999}, "dag": {"pre": ["acts", "post"]}})
    with pytest.raises(errors.NodeFailed):
        await running.ask("w", "raise")
    threads, tasks = threading.active_count(), len(asyncio.all_tasks())
    for _ in range(100):
        with pytest.raises(errors.NodeFailed, match=r"^Error executing acts: Prediction failed$"):
            await running.ask("w", "raise")

    assert (threading.active_count(), len(asyncio.all_tasks())) == (threads, tasks)


# ---------------------------------------------------------------------------------------------- time


async def test_an_attempt_that_timed_out_while_it_waited_never_runs(running: Running) -> None:
    """TorchServe left it in the queue: it ran all the same, after its successor was queued behind it."""
    await running.register("w", {"models": {"timeout-ms": 300, "retry-attempts": 9}, "dag": {"acts": []}})
    busy = asyncio.ensure_future(running.ask("w__acts", "sleep 1.5"))
    await until(lambda: running.noted("acts") == ["sleep 1.5"])

    assert await running.ask("w", "patient") == "patient"
    assert running.counters.retries["acts"] >= 1
    await busy
    await running.ask("w", "last")
    assert running.noted("acts") == ["sleep 1.5", "patient", "last"]


async def test_a_deadline_ends_the_request_in_whichever_node_it_is(running: Running) -> None:
    await running.register("w", {"models": {"timeout-ms": 60000}, "dag": {"pre": ["acts"], "acts": ["post"]}})
    with pytest.raises(errors.NodeFailed) as late:
        await running.ask("w", "sleep 1", deadline_s=0.3)

    assert type(late.value.error) is errors.DeadlineExceeded
    assert running.noted("post") == []
    assert await running.ask("w", "next") == "next"


async def test_a_caller_that_leaves_ends_what_waits_for_it(running: Running) -> None:
    await running.register("w", {"models": {"timeout-ms": 60000}, "dag": {"acts": ["post"]}})
    first = running.registry.submit("w", None, [Input("data", "", b"sleep 1")])
    second = running.registry.submit("w", None, [Input("data", "", b"never")])
    await until(lambda: running.noted("acts") == ["sleep 1"])
    first.cancel()
    second.cancel()

    assert await running.ask("w", "next") == "next"
    assert running.noted("acts") == ["sleep 1", "next"]
    assert running.noted("post") == ["next"]
    assert running.counters.cancelled == 2


# ---------------------------------------------------------------------------------------------- faults


async def test_a_request_that_kills_its_worker_kills_one_more_and_no_third(running: Running) -> None:
    await running.register("w", {"models": {"retry-attempts": 9, "timeout-ms": 60000}, "dag": {"pre": ["acts"]}})
    with pytest.raises(errors.NodeFailed) as failed:
        await running.ask("w", "die")

    assert isinstance(failed.value.error, errors.WorkerDied)
    assert running.noted("acts") == ["die", "die"]
    assert await running.ask("w", "alive") == "alive"


async def test_a_node_without_workers_is_told_at_once_and_makes_the_workflow_not_ready(running: Running) -> None:
    await running.register("w", TWO)
    await running.registry.scale(ScaleRequest(model="w__post", min_workers=0, synchronous=True))

    assert running.registry.health("workflow:w") is Health.NOT_SERVING
    with pytest.raises(errors.NodeFailed, match='Model "w__post" has no worker'):
        await running.ask("w", "x")
    assert running.counters.retries == {}


async def test_neither_a_failed_registration_nor_an_unregistered_workflow_leaves_files_or_workers(
    running: Running,
) -> None:
    """TorchServe never removed what it had unpacked."""
    before = len(psutil.Process().children(recursive=True))
    with pytest.raises(errors.WorkflowNotRegistered, match="Failed to start workers for model bad__missing"):
        await running.register("bad", {"models": {"min-workers": 1}, "dag": {"pre": ["missing"]}})
    await until(lambda: running.unpacked() == [])

    await running.register("two", TWO)
    assert len(running.unpacked()) == 1
    await running.workflows.unregister_workflow("two")
    await until(lambda: running.unpacked() == [])
    await until(lambda: len(psutil.Process().children(recursive=True)) <= before)


# ---------------------------------------------------------------------------------------------- what nodes get


async def test_functions_are_called_once_at_load_without_a_manifest(running: Running) -> None:
    await running.register("two", TWO)

    assert running.noted("pre.loaded") == ["initialised, manifest None"]


async def test_functions_find_the_extra_files_of_the_archive(running: Running) -> None:
    extra = {"extra_module.py": "WORD = 'helped'"}
    await running.register("w", {"models": {"timeout-ms": 9999}, "dag": {"helped": []}}, extra=extra)

    assert await running.ask("w", "x") == "helped"


async def test_nodes_get_bytearrays_under_the_names_of_torchserve(running: Running) -> None:
    dag = {"pre": ["acts", "post"], "acts": ["kinds"], "post": ["kinds"]}
    await running.register("several", {"models": {"timeout-ms": 9999}, "dag": dag})
    await running.register("one", {"models": {"timeout-ms": 9999}, "dag": {"pre": ["kinds"]}})

    assert await running.ask("several", "x") == "acts=bytearray post=bytearray"
    assert await running.ask("one", "x") == "body=bytearray"


async def test_a_node_may_ask_for_json_values(running: Running) -> None:
    specification = {"models": {"kinds": {"decode": True}}, "dag": {"pre": ["kinds"]}}
    await running.register("w", specification)

    assert await running.ask("w", '{"a": 1}') == "body=dict"
    assert await running.ask("w", "no json") == "body=bytearray"


async def test_a_function_may_have_batches_over_concurrent_requests(running: Running) -> None:
    models = {"counts": {"batch-size": 8, "max-batch-delay": 50}, "pre": {"max-workers": 2}}
    await running.register("w", {"models": models, "dag": {"pre": ["counts"]}})
    sizes = await asyncio.gather(*(running.ask("w", f"{number}") for number in range(64)))

    assert max(map(int, sizes)) > 1
    assert len(running.registry.describe("w__pre", None)[0]["workers"]) == 2


async def test_parts_of_the_leaf_stream_and_those_of_inner_nodes_are_joined(running: Running) -> None:
    await running.register("leaf", {"models": {"timeout-ms": 9999}, "dag": {"pre": ["parts"]}})
    await running.register("inner", {"models": {"timeout-ms": 9999}, "dag": {"parts": ["post"]}})
    reply = running.registry.submit("leaf", None, [Input("data", "", b"x")], streaming=True)
    parts = []
    while (chunk := await reply.next()) is not None:
        parts.append(bytes(chunk.data))

    assert parts == [b"part ", b"part ", b"part ", b"end"]
    assert await running.ask("inner", "x") == "part part part end"


async def test_models_and_functions_work_together(running: Running) -> None:
    source = (
        "def handle(data, context):\n    return None if data is None else [b'<' + row['body'] + b'>' for row in data]"
    )
    model_archive(running.folder / "store", "angle", source)
    specification = {"models": {"m": {"url": "angle.mar"}}, "dag": {"pre": ["m"], "m": ["post"]}}
    await running.register("w", specification)

    assert await running.ask("w", "x") == "<x>"
    assert running.registry.list_models(100, 0)["models"] == [{"modelName": "w__m", "modelUrl": "angle.mar"}]


async def test_a_model_that_batches_continuously_may_be_a_leaf_or_an_inner_node(running: Running) -> None:
    source = (Path(__file__).resolve().parents[1] / "handlers" / "countdown.py").read_text()
    config = "batchSize: 4\ncontinuousBatching: true\n"
    model_archive(running.folder / "store", "countdown", source, config=config)
    models = {"timeout-ms": 60000, "steps": {"url": "countdown.mar", "batch-size": -1}}
    await running.register("leaf", {"models": models, "dag": {"pre": ["steps"]}})
    await running.register("inner", {"models": models, "dag": {"steps": ["post"]}})
    asked = '{"parts": 3, "pause_s": 0.01}'
    whole = await asyncio.gather(*(running.ask("leaf", asked) for _ in range(8)))
    inner = await asyncio.gather(*(running.ask("inner", asked) for _ in range(8)))

    for answer in (*whole, *inner):
        parts = [json.loads(line) for line in answer.splitlines()]
        assert [part["part"] for part in parts] == [1, 2, 3]
    assert max(json.loads(line)["rows"] for answer in whole for line in answer.splitlines()) > 1


async def test_nodes_with_sequences_see_the_requests_of_each_in_order_and_once(running: Running) -> None:
    config = "sequenceBatching: true\nsequenceMaxIdleMSec: 60000\nmaxNumSequence: 4\nbatchSize: 4\n"
    model_archive(running.folder / "store", "sums", SUMS, config=config)
    models = {"timeout-ms": 60000, "retry-attempts": 5, "sum": {"url": "sums.mar", "batch-size": -1}}
    await running.register("w", {"models": models, "dag": {"pre": ["sum"], "sum": ["post"]}})

    async def add(sequence: str, number: int) -> str:
        headers = {"ts_request_sequence_id": sequence}
        reply = running.registry.submit("w", None, [Input("data", "", b"%d" % number)], headers=headers)
        assert isinstance(reply, SequenceReply)
        assert reply.sequence_id == sequence
        chunk = await reply.next()
        assert chunk is not None
        return bytes(chunk.data).decode()

    async def sums(sequence: str) -> list[str]:
        return [await add(sequence, number) for number in (1, 2, 3)]

    assert await asyncio.gather(*(sums(sequence) for sequence in "abc")) == [["1", "3", "6"]] * 3
    first = asyncio.ensure_future(add("a", 1))
    await asyncio.sleep(0)
    with pytest.raises(errors.SequenceQueueFull):
        await add("a", 1)
    assert await first == "7"


async def test_a_start_loads_workflows_and_a_stop_serves_what_was_accepted(tmp_path: Path) -> None:
    source = FUNCTIONS.replace("FOLDER", str(tmp_path))
    (tmp_path / "wars").mkdir()
    workflow_archive(
        tmp_path / "wars", "w", {"models": {"timeout-ms": 9999}, "dag": {"acts": ["post"]}}, handler=source
    )
    async with started(tmp_path, load_workflows=(str(tmp_path / "wars" / "w.war"),)) as running:
        await running.registry.load_at_startup()
        asked = asyncio.ensure_future(running.ask("w", "sleep 0.3"))
        await until(lambda: running.noted("acts") == ["sleep 0.3"])
        running.workflows.close_admission()
        running.registry.close_admission()
        await running.workflows.drain(20)

        assert await asked == "sleep 0.3"
