"""A link between this process and a peer, on both event loops, and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest
import uvloop
from link_kit import FakeProcess, Peer, Recorder, Scenario
from tls_kit import tls_pair

from stoker.ipc.tls_socket import TlsSocket
from stoker.pool.link import Link


@pytest.fixture(
    params=[
        (asyncio.new_event_loop, socket.socketpair),
        (uvloop.new_event_loop, socket.socketpair),
        (uvloop.new_event_loop, tls_pair),
    ],
    ids=["asyncio", "uvloop", "tls"],
)
def play(request: pytest.FixtureRequest) -> Iterator[Callable[[Scenario], None]]:
    new_loop, pair = request.param
    loop = new_loop()

    async def stage(scenario: Scenario, max_payload_bytes: int, any_order: bool, shares_cores: bool) -> None:
        ours, theirs = pair()
        with contextlib.closing(ours), contextlib.closing(theirs):
            ours.setblocking(False)
            theirs.setblocking(isinstance(theirs, TlsSocket))
            process, recorder = FakeProcess(ours, shares_cores=shares_cores), Recorder()
            link = Link(
                9000,
                process,  # type: ignore[arg-type]
                owner=recorder,
                scheduler=recorder,  # type: ignore[arg-type]
                max_payload_bytes=max_payload_bytes,
                busy=recorder.busy,
                any_order=any_order,
                telemetry=recorder.telemetry,
                poll_s=0.01,
                monotonic=lambda: 1.0,
            )
            link.start()
            try:
                await scenario(link, recorder, Peer(theirs))
            finally:
                link.close()
            os.close(process.progress_fd)

    def run(
        scenario: Scenario,
        *,
        max_payload_bytes: int = 100 << 20,
        any_order: bool = False,
        shares_cores: bool = True,
    ) -> None:
        loop.run_until_complete(stage(scenario, max_payload_bytes, any_order, shares_cores))

    yield run
    loop.close()
