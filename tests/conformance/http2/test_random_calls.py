"""Random mixtures of calls against a small budget: each ends once, and all that was counted is given back."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from grpc_fakes import Ports, Submission
from h2_peer import (
    CANCEL,
    DATA,
    END_STREAM,
    INITIAL_WINDOW_SIZE,
    MIB,
    OK,
    PREDICTIONS,
    RST_STREAM,
    STREAM_PREDICTIONS_2,
    UNAVAILABLE,
    UNIMPLEMENTED,
    WINDOW_UPDATE,
    Peer,
    frame,
    message,
    peer,
)
from waiting import until

from stoker.frontend.connections import Connection
from stoker.frontend.listener import Budgets
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")

_SIZES = (5, 100, 3_000, 60_000, 65_530, 70_000, 90_000)
_ENDS = ("whole", "whole", "whole", "end apart", "reset", "cut and reset", "doubled")


@dataclass
class Call:
    """One call: what it sends, and how that ends."""

    id: int
    path: str
    messages: list[bytes]
    packed: bool
    ending: str

    @classmethod
    def random(cls, id: int, dice: random.Random) -> Call:
        path = dice.choice((PREDICTIONS, PREDICTIONS, STREAM_PREDICTIONS_2))
        packed = dice.random() < 0.4
        count = 1 if path == PREDICTIONS else dice.randint(1, 5)
        messages = [cls._message(dice.choice(_SIZES), dice, packed=packed) for _ in range(count)]
        return cls(id, path, messages, packed, dice.choice(_ENDS))

    @staticmethod
    def _message(size: int, dice: random.Random, *, packed: bool) -> bytes:
        data = dice.randbytes(size) if dice.random() < 0.7 else bytes(size)
        request = inference_pb2.PredictionsRequest(model_name="m", input={"data": data}).SerializeToString()
        return message(gzip.compress(request, 1), packed=True) if packed else message(request)

    @property
    def body(self) -> bytes:
        body = b"".join(self.messages)
        if self.ending == "doubled":
            return body + self.messages[-1]
        return body[: len(body) * 2 // 3] if self.ending == "cut and reset" else body


class Client:
    """Sends calls at once, minding the windows of each."""

    def __init__(self, connection: Peer, dice: random.Random) -> None:
        self._peer = connection
        self._dice = dice
        self._sent: dict[int, int] = {}

    async def run(self, call: Call) -> None:
        extra = [("grpc-encoding", "gzip")] if call.packed else []
        self._peer.send(self._peer.headers(call.id, path=call.path, extra=extra))
        for piece, last in self._pieces(call.body):
            end = END_STREAM if last and call.ending in ("whole", "doubled") else 0
            if not await self._send(call.id, frame(DATA, end, call.id, piece), len(piece)):
                break  # refused
        if call.ending == "end apart":
            self._peer.send(frame(DATA, END_STREAM, call.id))
        if "reset" in call.ending:
            self._peer.send(frame(RST_STREAM, 0, call.id, CANCEL))
            return
        answer = await self._peer.answer(call.id)
        statuses = [value for name, value in answer.headers if name == "grpc-status"]
        assert len(statuses) == 1, (call.path, call.ending, answer)
        if call.path == PREDICTIONS and call.ending == "doubled":
            assert answer.status in (UNIMPLEMENTED, UNAVAILABLE)
        elif answer.status == OK:
            assert count_of(bytes(answer.body)) == len(call.messages) + (call.ending == "doubled")

    def _pieces(self, body: bytes) -> Iterator[tuple[bytes, bool]]:
        at = 0
        while at < len(body):
            size = self._dice.choice((1, 9, 16_000, 16_384))
            yield body[at : at + size], at + size >= len(body)
            at += size

    async def _send(self, id: int, data: bytes, size: int) -> bool:
        sent = self._sent.get(id, 0)
        while sent + size > 65_535 + self._peer.window_updates.get(id, 0):
            answer = self._peer.answers.get(id)
            if self._peer.closed or (answer is not None and (answer.ended or answer.reset is not None)):
                return False
            await asyncio.sleep(0.001)
        self._sent[id] = sent + size
        self._peer.send(data)
        await self._peer.drained()
        return True


def count_of(body: bytes) -> int:
    """Counts the messages of an answer."""
    count = at = 0
    while at < len(body):
        at += 5 + int.from_bytes(body[at + 1 : at + 5], "big")
        count += 1
    return count


@pytest.mark.parametrize("seed", range(4))
async def test_each_call_ends_once_and_all_that_counted_is_given_back(ports: Ports, seed: int) -> None:
    dice, errors, budgets = random.Random(seed), list[object](), Budgets(unparsed=MIB)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))

    def answer(submission: Submission) -> None:
        data = bytes(dice.choice((1, 10, 5_000)))
        if dice.random() < 0.5:
            submission.answer(data)
        else:
            loop.call_later(dice.random() * 0.01, submission.answer, data)

    async def converse(number: int) -> None:
        wide = {INITIAL_WINDOW_SIZE: 1 << 30}
        async with peer(server.port, settings=wide) as connection:
            connection.send(frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")))
            await connection.until(lambda: 0 in connection.window_updates)
            client = Client(connection, dice)
            calls = [asyncio.ensure_future(client.run(Call.random(id, dice))) for id in range(1, 25, 2)]
            if number == 0:  # it leaves in the middle
                await asyncio.sleep(0.05)
                for call in calls:
                    call.cancel()
            await asyncio.gather(*calls, return_exceptions=number == 0)

    ports.inference.on_submit = answer
    async with ports.server(budgets=budgets) as server:
        await asyncio.gather(*(converse(number) for number in range(6)))
        await until(lambda: server.open_calls == 0 and budgets.unparsed.taken == 0 and budgets.unread.total == 0)
        opened: set[Connection] = server._engine.connections.open  # type: ignore[union-attr]
        await until(lambda: not opened)
    assert errors == []
