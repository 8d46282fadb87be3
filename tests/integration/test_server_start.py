"""The whole server in this process while it starts: nothing of it can be reached before its models are registered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from stoker import server as composition
from stoker.bench.ports import free_ports
from stoker.config.address import Address
from stoker.config.security import AccessPolicy
from stoker.config.settings import Settings
from stoker.errors import BindError
from stoker.registry.registry import Registry
from stoker.server import Server


class Start:
    """A server whose models are loaded when ``registered`` is set; ``failure`` is raised then."""

    def __init__(self, folder: Path) -> None:
        for name in ("tmp", "store"):
            (folder / name).mkdir()
        self.ports = free_ports(5)
        self.registered = asyncio.Event()
        self.loading = asyncio.Event()
        self.failure: Exception | None = None
        self.is_up = asyncio.Event()
        grpc, grpc_management, *rest = self.ports
        inference, management, metrics = (Address("http", "127.0.0.1", port) for port in rest)
        settings = Settings(
            grpc_inference_port=grpc,
            grpc_management_port=grpc_management,
            inference_address=inference,
            management_address=management,
            metrics_address=metrics,
            model_store=folder / "store",
            temp_dir=folder / "tmp",
        )
        access = AccessPolicy(tokens=False, model_api=True)
        self.server = Server(settings, access=access, on_started=self.is_up.set)

    async def load(self, registry: Registry) -> None:
        self.loading.set()
        await self.registered.wait()
        if self.failure is not None:
            raise self.failure

    def open_ports(self) -> list[int]:
        connections = psutil.Process().net_connections(kind="tcp")
        listening = {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}
        return [port for port in self.ports if port in listening]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    made = Start(tmp_path)
    load: Callable[[Registry], Awaitable[None]] = made.load
    monkeypatch.setattr(Registry, "load_at_startup", lambda registry: load(registry))
    monkeypatch.setattr(composition, "_tune_gc", lambda: None)
    return made


async def test_no_port_is_open_before_every_model_of_the_start_is_registered(start: Start) -> None:
    running = asyncio.create_task(start.server.run())
    await asyncio.wait_for(start.loading.wait(), 30)
    assert start.open_ports() == [] and not start.is_up.is_set()
    start.registered.set()
    await asyncio.wait_for(start.is_up.wait(), 30)
    assert start.open_ports() == start.ports
    start.server.request_stop()
    await asyncio.wait_for(running, 30)
    assert start.open_ports() == []


async def test_a_stop_while_models_are_loaded_ends_the_start_and_nothing_was_up(start: Start) -> None:
    running = asyncio.create_task(start.server.run())
    await asyncio.wait_for(start.loading.wait(), 30)
    start.server.request_stop()
    await asyncio.wait_for(running, 30)
    assert not start.is_up.is_set() and start.open_ports() == []


async def test_an_address_that_is_taken_ends_the_start_before_models_are_loaded(start: Start) -> None:
    for port in start.ports:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            with pytest.raises(BindError, match=f"127.0.0.1:{port}: Address already in use"):
                await asyncio.wait_for(start.server.run(), 30)
    assert not start.loading.is_set()


async def test_a_defect_while_models_are_loaded_ends_the_start(start: Start) -> None:
    start.failure = RuntimeError("a defect")
    start.registered.set()
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(start.server.run(), 30)
    assert not start.is_up.is_set()
