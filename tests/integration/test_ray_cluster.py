"""Workers on the nodes of a real Ray cluster, from the command line to a handler's answer: three nodes on this machine.

The tests share a cluster, a server and the model ``echo``, because nodes and workers take seconds to come up.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from model_kit import model_archive
from ray_nodes import RayNodes
from torchserve_kit import Place, wait_until_served
from waiting import wait_until

from stoker.client import AsyncClient, CallError, Client, SequenceRequest
from stoker.core import malloc

pytestmark = [
    pytest.mark.timeout(500),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: scripts/install --ray"),
]

HANDLERS = Path(__file__).resolve().parents[1] / "handlers"
ECHO = """
import os
import time

from ts.handler_utils.utils import send_intermediate_predict_response


def handle(data, context):
    if data is None:
        return None
    texts = [bytes(row["data"]).decode() for row in data]
    word, _, rest = texts[0].partition(" ")
    if word == "exit":
        os._exit(int(rest))
    if word == "sleep":
        time.sleep(float(rest))
    if word == "env":
        return [os.environ.get(rest, "")]
    if word == "print":
        print(rest, flush=True)
    if word == "stream":
        for number in range(int(rest)):
            send_intermediate_predict_response([f"{number} "], context.request_ids, "", 200, context)
        return ["end"]
    return texts
"""
SUMS = """
sums = {}


def handle(data, context):
    if data is None:
        return None
    name = context.get_sequence_id(0)
    sums[name] = sums.get(name, 0) + int(bytes(data[0]["data"]))
    return [str(sums[name])]
"""
RANK = """
import os


def handle(data, context):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR")
    return None if data is None else [" ".join(os.environ[name] for name in names)]
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    made = RayNodes(tmp_path_factory.mktemp("ray"))
    try:
        made.start()
        made.add("node-1", CPU=3)
        made.add("node-2", CPU=3)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def place(nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("server"))
    made.env |= nodes.env
    made.configure(
        "worker_placement=ray",
        f"ray_address={nodes.address}",
        f"ray_archive_cache={made.folder / 'cache'}",
        "job_queue_size=1000",
        "metrics_mode=prometheus",
    )
    made.foreground()
    yield made
    made.close()


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with place.client() as made:
        yield made


@pytest.fixture(scope="module")
def echo(place: Place) -> str:
    """A model with two workers, each on a node of its own at first; whatever ends them, two come back."""
    with place.client() as client:
        client.register(archive(place, "echo", raySpread=True), initial_workers=2, synchronous=True)
    return "echo"


def archive(place: Place, name: str, source: str = ECHO, **config: Any) -> str:
    return model_archive(place.store, name, source, config=json.dumps(config)).name


def workers_of(client: Client, model: str) -> list[dict[str, Any]]:
    return client.describe(model)[0]["workers"]


def nodes_of(client: Client, model: str) -> list[str]:
    return sorted(worker["node"].split()[0] for worker in workers_of(client, model) if worker["status"] == "READY")


def readiness(place: Place) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.rest_ports[0]}/ready") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def metrics(place: Place) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{place.rest_ports[2]}/metrics") as answer:
        return answer.read().decode()


def log_of(place: Place) -> str:
    return (place.folder / "logs" / "model_log.log").read_text()


def serving(client: Client, model: str) -> dict[int, str]:
    """Returns the node of each worker that is ready, by process."""
    return {each["pid"]: each["node"].split()[0] for each in workers_of(client, model) if each["status"] == "READY"}


def wait_for_two_without(pid: int, client: Client, model: str) -> None:
    wait_until(lambda: len(serving(client, model).keys() - {pid}) == 2, "another process has taken the place")


def test_a_model_answers_from_the_nodes_that_its_description_names(place: Place, client: Client, echo: str) -> None:
    assert client.predict(echo, b"hello").data == b"hello"
    assert nodes_of(client, echo) == ["node-1", "node-2"]
    assert 'stoker_node_workers{model="echo",version="1.0",node="node-1 (127.0.0.1)"} 1' in metrics(place)
    assert client.predict(echo, b"env RAY_JOB_ID").data == b""
    if os.geteuid() == 0:  # others may not undo what Ray did to its priority
        assert psutil.Process(workers_of(client, echo)[0]["pid"]).nice() == psutil.Process().nice()
    assert client.predict(echo, b"env GLIBC_TUNABLES").data == malloc.WORKER.encode()


def test_a_stream_comes_part_by_part(client: Client, echo: str) -> None:
    parts = list(client.predict_stream(echo, b"stream 5"))
    assert b"".join(part.data for part in parts) == b"0 1 2 3 4 end"


def test_what_a_worker_prints_arrives_in_the_model_log(place: Place, client: Client, echo: str) -> None:
    client.predict(echo, b"print from far away")
    wait_until(lambda: "from far away" in log_of(place), "the line is logged")
    line = next(line for line in log_of(place).splitlines() if "from far away" in line)
    assert "@node-" in line


def test_a_handler_that_exits_fails_its_batch_and_gets_a_new_process(client: Client, echo: str) -> None:
    before = serving(client, echo)
    with pytest.raises(CallError, match="exit code 3"):
        client.predict(echo, b"exit 3")
    gone = next(pid for pid in before if not psutil.pid_exists(pid))
    wait_for_two_without(gone, client, echo)
    assert client.predict(echo, b"again").data == b"again"


def test_an_actor_that_is_killed_takes_its_worker_along_and_is_placed_anew(client: Client, echo: str) -> None:
    worker = psutil.Process(next(iter(serving(client, echo))))
    worker.parent().kill()
    worker.wait(20)
    wait_for_two_without(worker.pid, client, echo)
    assert client.predict(echo, b"again").data == b"again"


def test_a_sequence_stays_with_its_worker(place: Place, client: Client) -> None:
    config = {"sequenceBatching": True, "sequenceMaxIdleMSec": 60_000, "maxNumSequence": 4}
    client.register(archive(place, "sums", SUMS, **config), initial_workers=2, synchronous=True)
    requests = [SequenceRequest("sums", str(number).encode(), sequence_id="s") for number in (1, 2, 3)]
    assert [part.data for part in client.predict_sequences(requests)] == [b"1", b"3", b"6"]
    client.unregister("sums")


def test_requests_join_a_batch_between_two_steps(place: Place, client: Client) -> None:
    source = (HANDLERS / "countdown.py").read_text()
    config = {"continuousBatching": True, "batchSize": 4}
    client.register(archive(place, "countdown", source, **config), initial_workers=1, synchronous=True)
    parts = list(client.predict_stream("countdown", json.dumps({"parts": 3}).encode()))
    assert len(parts) >= 3
    client.unregister("countdown")


def test_an_asynchronous_handler_answers(place: Place, client: Client) -> None:
    source = "async def handle(data, context):\n    return data and [bytes(data[0]['data'])]\n"
    client.register(archive(place, "async", source, asyncCommunication=True), initial_workers=1, synchronous=True)
    assert client.predict("async", b"hello").data == b"hello"
    client.unregister("async")


def test_a_request_wakes_a_model_that_sleeps(place: Place, client: Client) -> None:
    config = {"autoscale": True, "minWorkers": 0, "maxWorkers": 1}
    client.register(archive(place, "sleeps", **config))
    assert client.predict("sleeps", b"awake").data == b"awake"
    assert len(nodes_of(client, "sleeps")) == 1
    client.unregister("sleeps")


def test_ranks_of_a_worker_are_spread_over_nodes(place: Place, client: Client) -> None:
    config = {"parallelType": "pp", "parallelLevel": 2, "raySpread": True}
    client.register(archive(place, "ranks", RANK, **config), initial_workers=1, synchronous=True)
    assert client.predict("ranks", b"").data == b"0 2 0 1 0 127.0.0.1"
    client.unregister("ranks")


def test_workers_are_added_and_removed(place: Place, client: Client) -> None:
    client.register(archive(place, "scales"), initial_workers=1, synchronous=True)
    client.scale("scales", min_workers=3, synchronous=True)
    assert len(nodes_of(client, "scales")) == 3
    processes = [psutil.Process(worker["pid"]) for worker in workers_of(client, "scales")]
    client.scale("scales", min_workers=1, synchronous=True)
    assert len(nodes_of(client, "scales")) == 1
    client.unregister("scales")
    _, left = psutil.wait_procs(processes, timeout=20)
    assert not left


def test_what_the_cluster_lacks_is_reported_and_a_new_node_ends_the_wait(
    nodes: RayNodes, place: Place, client: Client
) -> None:
    url = archive(place, "late", rayResources={"special": 1})
    with pytest.raises(CallError, match="no node of the Ray cluster has any special"):
        client.register(url, initial_workers=1, synchronous=True)
    client.register(url, initial_workers=1)
    wait_until(lambda: workers_of(client, "late")[0].get("state") == "PENDING", "the worker waits")
    assert workers_of(client, "late")[0]["failure"] == "no node of the Ray cluster has any special"
    status, document = readiness(place)
    assert status == 503
    assert document["reason"] == "late/1.0 is waiting for room: no node of the Ray cluster has any special."
    with pytest.raises(CallError, match="has any special"):
        client.predict("late", b"now")
    nodes.add("node-3", CPU=1, special=1)
    wait_until_served(client, "late")
    assert nodes_of(client, "late") == ["node-3"]
    client.unregister("late")


def test_of_two_workers_that_compete_the_one_without_room_says_what_is_missing(client: Client, place: Place) -> None:
    client.register(archive(place, "rivals", rayResources={"special": 1}), initial_workers=2)
    states = lambda: sorted(worker.get("state", worker["status"]) for worker in workers_of(client, "rivals"))  # noqa: E731
    wait_until(lambda: states() == ["PENDING", "READY"], "one of them waits")
    waiting = next(worker for worker in workers_of(client, "rivals") if worker["status"] != "READY")
    assert waiting["failure"] == "no node of the Ray cluster has special 1 free (of 1, 0 free in all)"
    client.unregister("rivals")


def test_a_resource_that_another_job_holds_is_named(nodes: RayNodes, client: Client, place: Place) -> None:
    nodes.take(special=1)
    client.register(archive(place, "held", rayResources={"special": 1}), initial_workers=1)
    wait_until(lambda: workers_of(client, "held")[0].get("state") == "PENDING", "the worker waits")
    shortage = workers_of(client, "held")[0]["failure"]
    assert shortage == "no node of the Ray cluster has special 1 free (of 1, 0 free in all)"
    client.unregister("held")


def test_a_node_that_dies_under_load_fails_only_what_its_workers_had_begun(
    nodes: RayNodes, place: Place, client: Client, echo: str
) -> None:
    """Batches are short, so dozens are sent ahead; a worker runs one at a time."""
    before = serving(client, echo)
    node = min(before.values())
    victims = [pid for pid, of in before.items() if of == node]
    wrong, failed = asyncio.run(echoes(place, 20_000, at=(5_000, lambda: nodes.kill(node))))
    assert not wrong
    assert len(failed) <= len(victims), failed
    assert node not in nodes_of(client, echo)
    wait_until(lambda: not any(map(psutil.pid_exists, victims)), "nothing of the node is left")


async def echoes(place: Place, count: int, *, at: tuple[int, Any]) -> tuple[list[str], list[str]]:
    """Sends unique texts, 256 at a time; ``at``: after how many to do what. Returns swapped answers, and errors."""
    numbers, wrong, failed = iter(range(count)), list[str](), list[str]()

    async def ask(client: AsyncClient) -> None:
        for number in numbers:
            if number == at[0]:
                await asyncio.to_thread(at[1])
            text = f"echo {number}"
            try:
                answer = await client.predict("echo", text.encode(), timeout=60)
            except CallError as error:
                failed.append(str(error))
            else:
                if answer.data != text.encode():
                    wrong.append(f"{text}: {answer.data!r}")

    async with AsyncClient(place.endpoint) as client:
        await asyncio.gather(*(ask(client) for _ in range(256)))
    return wrong, failed


def test_a_server_that_is_killed_leaves_nothing_on_any_node(place: Place, client: Client, echo: str) -> None:
    """And the next one takes its models up again."""
    wait_until(lambda: len(serving(client, echo)) == 2, "both workers are there")
    workers = [psutil.Process(pid) for pid in serving(client, echo)]
    snapshots = place.folder / "logs" / "config"
    wait_until(lambda: any(echo in file.read_text() for file in snapshots.glob("*.cfg")), "it is written down")
    place.server().kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    place.foreground()
    with place.client() as again:
        wait_until_served(again, echo)
        assert again.predict(echo, b"back").data == b"back"


def test_a_server_without_its_cluster_does_not_start(tmp_path: Path) -> None:
    place = Place(tmp_path)
    try:
        place.configure("ray_address=127.0.0.1:1")
        status, text = place.run("--start", "--foreground", "--model-store", "models")
        assert status == 1
        assert "ray_address: no Ray cluster answers at 127.0.0.1:1: Connection refused" in text
        assert "Traceback" not in text
    finally:
        place.close()
