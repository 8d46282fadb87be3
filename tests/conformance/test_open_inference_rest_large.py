"""Large JSON documents over REST: read in slices, while others are served."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from grpc_fakes import until
from http_fakes import HttpPorts, Running, running
from open_inference_kit import OtherReading, rest_ports

ROWS, SIZE = 160, 100  # 78 KB


@pytest.fixture
def ports() -> HttpPorts:
    return rest_ports()


def document(data: Any, datatype: str = "INT32", shape: tuple[int, ...] = (1, ROWS, SIZE)) -> bytes:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


NUMBERS = [number % 1000 for number in range(ROWS * SIZE)]
NESTED = [[NUMBERS[at : at + SIZE] for at in range(0, len(NUMBERS), SIZE)]]


async def infer(server: Running, content: bytes, model: str = "m", **headers: str) -> Any:
    return await server.client.post(f"/v2/models/{model}/infer", content=content, headers=headers)


@pytest.mark.parametrize("data", [NUMBERS, NESTED], ids=["flat", "nested"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_a_large_document_is_answered_as_a_small_one_is(ports: HttpPorts, data: list[Any], packed: bool) -> None:
    content = document(data)
    async with running(ports) as server:
        if packed:
            response = await infer(server, gzip.compress(content), **{"content-encoding": "gzip"})
        else:
            response = await infer(server, content)
        assert response.status_code == 200
        assert response.json()["outputs"][0]["data"] == NUMBERS
    assert ports.budgets.unparsed.taken == 0


async def test_numbers_that_json_does_not_know_are_read_in_a_large_document(ports: HttpPorts) -> None:
    data = [*NUMBERS[:-1], float("inf")]
    async with running(ports) as server:
        response = await infer(server, document(data, "FP64"))
        assert response.status_code == 200
        assert json.loads(response.content)["outputs"][0]["data"] == data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (document([*NUMBERS[:-1], True]), "Input 'x' has elements that are not INT32."),
        (document([*NUMBERS[:-1], 1.5]), "Input 'x' has elements that are not INT32."),
        (document(NUMBERS[:-1]), "Input 'x' has 15999 elements where its shape has 16000."),
        (document([*NESTED[0][:-1], NUMBERS[:1]]), "Input 'x' has lists of different lengths."),
        (document(NUMBERS)[:-1], "The body is not a JSON object."),
    ],
    ids=["boolean", "fraction", "one less", "ragged", "cut"],
)
async def test_what_is_wrong_with_a_large_document_is_answered(ports: HttpPorts, content: bytes, words: str) -> None:
    async with running(ports) as server:
        response = await infer(server, content)
        assert (response.status_code, response.json()["error"]) == (400, words)
    assert not ports.inference.submissions
    assert ports.budgets.unparsed.taken == 0


async def test_a_large_body_that_is_none_of_the_protocol_reaches_the_handler(ports: HttpPorts) -> None:
    content = json.dumps({"instances": NUMBERS}).encode()
    ports.inference.on_submit = lambda submission: submission.answer(b"".join(submission.inputs.values()))
    async with running(ports) as server:
        response = await server.client.post("/predictions/plain", content=content)
        assert (response.status_code, response.content) == (200, content)


async def test_others_are_answered_while_a_large_document_waits_its_turn(ports: HttpPorts) -> None:
    async with running(ports) as server:
        others = OtherReading()
        large = asyncio.ensure_future(infer(server, document(NUMBERS)))
        await until(lambda: ports.budgets.unparsed.taken > 0)
        assert (await infer(server, document([1, 2], shape=(1, 2)))).status_code == 200
        assert not large.done()
        others.done = True
        assert (await large).status_code == 200
    assert ports.budgets.unparsed.taken == 0


async def test_a_client_that_leaves_before_its_document_is_read_causes_no_job(ports: HttpPorts) -> None:
    content = document(NUMBERS)
    head = f"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
    async with running(ports) as server:
        others = OtherReading()
        _, writer = await server.connect()
        writer.write(head.encode() + content)
        await writer.drain()
        await until(lambda: ports.budgets.unparsed.taken > 0)
        assert (await infer(server, document([1, 2], shape=(1, 2)))).status_code == 200
        writer.transport.abort()
        await until(lambda: ports.budgets.unparsed.taken == 0)
        others.done = True
        assert (await infer(server, content)).status_code == 200
        assert len(ports.inference.submissions) == 2
    assert ports.budgets.unparsed.taken == 0
