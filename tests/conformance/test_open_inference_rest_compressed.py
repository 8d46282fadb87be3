"""Compressed bodies over REST: unpacked within bounds, beside the loop when they are large."""

from __future__ import annotations

import gzip
import json
import random
import threading
from typing import Any

import pytest
from http_fakes import HttpPorts, Running, running
from open_inference_kit import rest_ports
from waiting import until

from stoker.frontend.budget import Share
from stoker.frontend.inflater import current_inflater
from stoker.frontend.listener import Budgets

GZIP = {"content-encoding": "gzip"}


@pytest.fixture
def ports() -> HttpPorts:
    return rest_ports()


def document(numbers: int) -> bytes:
    values = [random.Random(number).randrange(1 << 20) for number in range(numbers)]
    tensor = {"name": "x", "datatype": "INT32", "shape": [1, numbers], "data": values}
    return json.dumps({"inputs": [tensor]}).encode()


async def infer(server: Running, content: bytes, encoding: str) -> Any:
    return await server.client.post("/v2/models/m/infer", content=content, headers={"content-encoding": encoding})


@pytest.mark.parametrize("numbers", [2, 8_000], ids=["small", "large"])
@pytest.mark.parametrize("encoding", ["gzip", "identity", "br"])
async def test_a_compressed_body_is_unpacked(ports: HttpPorts, encoding: str, numbers: int) -> None:
    content = document(numbers)
    async with running(ports) as server:
        response = await infer(server, content if encoding == "identity" else gzip.compress(content), encoding)
        assert response.status_code == (400 if encoding == "br" else 200)
        if encoding != "br":
            assert response.json()["outputs"][0]["data"] == json.loads(content)["inputs"][0]["data"]
    assert ports.budgets.unparsed.taken == 0


async def test_a_bomb_is_unpacked_up_to_the_limit_and_no_further(ports: HttpPorts) -> None:
    async with running(ports) as server:
        assert (await infer(server, gzip.compress(bytes(10_000_000)), "gzip")).status_code == 413
    assert ports.budgets.unparsed.taken == 0


async def test_a_body_that_is_none_of_the_protocol_reaches_the_handler_as_it_is(ports: HttpPorts) -> None:
    content = gzip.compress(random.Random(1).randbytes(20_000))
    ports.inference.on_submit = lambda submission: submission.answer(b"".join(submission.inputs.values()))
    async with running(ports) as server:
        response = await server.client.post("/predictions/plain", content=content, headers=GZIP)
        assert (response.status_code, response.content) == (200, content)


async def test_a_client_that_leaves_while_its_body_waits_to_be_unpacked_causes_no_job(ports: HttpPorts) -> None:
    content = gzip.compress(document(8_000))
    fields = f"host: x\r\ncontent-encoding: gzip\r\ncontent-length: {len(content)}\r\n"
    head = f"POST /v2/models/m/infer HTTP/1.1\r\n{fields}\r\n"
    others_are_unpacked = threading.Event()

    def unpack_others() -> bytes:
        others_are_unpacked.wait(60)
        return b""

    async with running(ports) as server:
        current_inflater().submit("others", unpack_others, lambda *_: None)
        _, writer = await server.connect()
        writer.write(head.encode() + content)
        await until(lambda: ports.budgets.unparsed.taken > 0)
        writer.transport.abort()
        await until(lambda: ports.budgets.unparsed.taken == 0)
        others_are_unpacked.set()
        assert (await infer(server, content, "gzip")).status_code == 200
        assert len(ports.inference.submissions) == 1


async def test_a_body_without_room_in_the_budget_is_refused(ports: HttpPorts) -> None:
    ports.budgets = Budgets(unparsed=40_000)
    others = Share(ports.budgets.unparsed)
    content = gzip.compress(document(4_000))
    async with running(ports) as server:
        assert (await infer(server, content, "gzip")).status_code == 200
        others.hold(30_000)
        others.hold(1_000)  # of the quarter that does not wait
        assert (await infer(server, content[:12_000], "gzip")).status_code == 503
    others.give_back()
    assert ports.budgets.unparsed.taken == 0
