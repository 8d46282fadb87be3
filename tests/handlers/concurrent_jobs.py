"""An asynchronous handler around a fake engine that makes a token per ``gap_s``. A request is a JSON object.

``parts`` how many tokens; ``gap_s`` between them; ``company`` waits until that many calls ran at a time; ``raises`` a
text to fail with; ``refuses`` a code; ``blocks_s`` sleeps without awaiting; ``hangs`` waits forever; ``stubborn``
goes on although it is cancelled; ``bytes`` size of a part; ``drains`` waits for its reader; ``count`` tells how the
calls have ended so far; ``dies`` kills the process.
"""

import asyncio
import json
import os
import signal
import time

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException


async def generate(n, gap):
    for number in range(1, n + 1):
        await asyncio.sleep(gap)
        yield number


class ConcurrentHandler:
    def initialize(self, context):
        loop = asyncio.get_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        self.ticks = 0
        self.ticking = loop.create_task(self.tick())
        self.running = self.most = self.cancelled = 0
        context.made_once = object()
        self.made_once = context.made_once

    async def tick(self):
        while True:
            self.ticks += 1
            await asyncio.sleep(0.01)

    async def handle(self, data, context):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.answer(data, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def answer(self, data, context):
        assert len(data) == 1
        assert list(context.request_ids) == [0]
        assert context.made_once is self.made_once
        asked = data[0].get("data") or data[0].get("body")
        asked = json.loads(asked) if not isinstance(asked, dict) else asked
        if asked.get("count"):
            told = {"most": self.most, "cancelled": self.cancelled, "running": self.running, "pid": os.getpid()}
            return [{**told, "ticks": self.ticks}]
        if asked.get("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        if "blocks_s" in asked:
            time.sleep(asked["blocks_s"])
        if "refuses" in asked:
            raise PredictionException("not this one", asked["refuses"])
        if asked.get("hangs"):
            await asyncio.Event().wait()
        if asked.get("stubborn"):
            await self.go_on()
        while self.most < asked.get("company", 0):
            await asyncio.sleep(0.01)
        name = asked.get("name", "")
        async for number in generate(asked.get("parts", 1), asked.get("gap_s", 0)):
            if number == asked.get("parts", 1):
                break
            part = f"{name}{number};" if "bytes" not in asked else "x" * asked["bytes"]
            send_intermediate_predict_response([part], context.request_ids, "msg", 200, context)
            if asked.get("drains"):
                await context.drain()
        if "raises" in asked:
            raise ValueError(asked["raises"])
        return [f"{name}end"]

    async def go_on(self):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
