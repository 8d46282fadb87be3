"""The registry with real archives, real worker processes and no frontend."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from model_kit import model_archive
from processes import arguments_of
from registry_kit import ask, running
from waiting import until

from stoker import errors
from stoker.core.ports import Health, RegisterRequest, ScaleRequest

ECHO = """
import os, time

def handle(data, context):
    if data is None:
        return None
    if context.get_request_header(0, "describe") == "True":
        return ['{"classes": 2}']
    out = []
    for row in data:
        text = bytes(row["data"]).decode()
        if text.startswith("sleep "):
            time.sleep(float(text[6:]))
        out.append("VERSION " + text)
    return out
"""
BROKEN = """
def handle(data, context):
    raise ValueError("the weights are wrong")
"""


def archive(
    folder: Path,
    name: str,
    *,
    version: str = "1.0",
    source: str = ECHO,
    yaml: str | None = None,
    file: str | None = None,
) -> str:
    """Writes a .mar; returns its file name."""
    path = model_archive(
        folder / "store",
        name,
        source.replace("VERSION", version),
        config=yaml,
        version=version,
        file=file or f"{name}-{version}.mar",
    )
    return path.name


def workers_alive() -> list[int]:
    children = psutil.Process().children()
    return [process.pid for process in children if "stoker.worker.main" in " ".join(arguments_of(process))]


def unpacked(folder: Path) -> Iterator[Path]:
    """Model folders that lie in the temp folder."""
    return (path.parent for path in (folder / "temp").rglob("service.py"))


async def test_a_model_registered_synchronously_answers_at_once(folder: Path) -> None:
    async with running(folder) as registry:
        text = await registry.register(
            RegisterRequest(url=archive(folder, "echo"), initial_workers=1, synchronous=True)
        )

        assert text == 'Model "echo" Version: 1.0 registered with 1 initial workers'
        assert await ask(registry, "echo") == "1.0 hello"
        assert registry.health("echo") is Health.SERVING


async def test_a_model_registered_asynchronously_answers_once_its_workers_are_up(folder: Path) -> None:
    async with running(folder) as registry:
        text = await registry.register(RegisterRequest(url=archive(folder, "echo"), initial_workers=1))

        assert text == "Processing worker updates..."
        assert await ask(registry, "echo") == "1.0 hello"  # it waits in the queue meanwhile


async def test_a_synchronous_register_whose_handler_fails_names_the_cause_and_leaves_nothing(
    folder: Path,
) -> None:
    async with running(folder) as registry:
        url = archive(folder, "broken", source=BROKEN)

        with pytest.raises(errors.WorkersFailedToStart) as failure:
            await registry.register(RegisterRequest(url=url, initial_workers=2, synchronous=True))

        message = failure.value.message
        assert message.startswith("Failed to start workers for model broken version: 1.0 Cause: ")
        assert "the weights are wrong" in message and str(folder) not in message
        assert registry.list_models(100, 0) == {"models": []}
        assert workers_alive() == []
        await until(lambda: not list(unpacked(folder)))


async def test_describe_customized_asks_the_handler(folder: Path) -> None:
    async with running(folder) as registry:
        await registry.register(RegisterRequest(url=archive(folder, "echo"), initial_workers=1, synchronous=True))

        ((entry,), _) = await registry.describe_customized("echo", None)

        assert entry["customizedMetadata"] == {"classes": 2}
        assert entry["workers"][0]["status"] == "READY" and entry["workers"][0]["pid"] in workers_alive()


async def test_jobs_that_wait_and_run_are_answered_before_an_unregistered_model_goes(folder: Path) -> None:
    async with running(folder) as registry:
        await registry.register(RegisterRequest(url=archive(folder, "echo"), initial_workers=1, synchronous=True))
        asked = [asyncio.ensure_future(ask(registry, "echo", text)) for text in ("sleep 0.3", "a", "b")]
        await asyncio.sleep(0.1)

        leaving = asyncio.ensure_future(registry.unregister("echo", None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(errors.ModelNotFound):
            registry.submit("echo", None, [])

        assert await leaving == 'Model "echo" unregistered'
        assert await asyncio.gather(*asked) == ["1.0 sleep 0.3", "1.0 a", "1.0 b"]
        assert workers_alive() == []
        await until(lambda: not list(unpacked(folder)))


async def test_jobs_that_take_longer_than_the_drain_are_told_that_the_model_was_unregistered(
    folder: Path,
) -> None:
    async with running(folder, drain_timeout_s=0.2) as registry:
        await registry.register(RegisterRequest(url=archive(folder, "echo"), initial_workers=1, synchronous=True))
        asked = [asyncio.ensure_future(ask(registry, "echo", text)) for text in ("sleep 60", "a")]
        await asyncio.sleep(0.1)

        await registry.unregister("echo", None)

        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, errors.ModelUnregistered)
        assert workers_alive() == []


async def test_a_switch_of_the_default_version_under_load_loses_nothing(folder: Path) -> None:
    async with running(folder) as registry:
        for version in ("1.0", "2.0"):
            url = archive(folder, "echo", version=version)
            await registry.register(RegisterRequest(url=url, initial_workers=1, synchronous=True))
        answers: list[str] = []
        switched = asyncio.Event()

        async def client() -> None:
            for number in range(400):
                answers.append(await ask(registry, "echo", str(number)))
                if len(answers) > 400:
                    switched.set()

        clients = [asyncio.ensure_future(client()) for _ in range(4)]
        await switched.wait()
        await registry.set_default("echo", "2.0")
        await registry.unregister("echo", "1.0")
        await asyncio.gather(*clients)

        assert len(answers) == 1600
        assert {answer.split()[0] for answer in answers} == {"1.0", "2.0"}


async def test_a_client_that_leaves_does_not_stop_a_synchronous_register(folder: Path) -> None:
    async with running(folder) as registry:
        request = RegisterRequest(url=archive(folder, "echo"), initial_workers=1, synchronous=True)
        caller = asyncio.ensure_future(registry.register(request))
        await until(lambda: registry.list_models(100, 0)["models"])

        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

        await until(lambda: registry.health("echo") is Health.SERVING)
        assert await ask(registry, "echo") == "1.0 hello"


async def test_models_of_the_store_are_loaded_at_start_and_broken_ones_are_skipped(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive(folder, "one")
    archive(folder, "two", version="1.0", yaml="minWorkers: 1\nmaxWorkers: 2\n")
    archive(folder, "two", version="2.0", yaml="minWorkers: 1\nmaxWorkers: 1\n")
    (folder / "store" / "junk.mar").write_bytes(b"this is no archive")
    async with running(folder, load_models=("all",), default_workers_per_model=1) as registry:
        await registry.load_at_startup()

        assert [model["modelName"] for model in registry.list_models(100, 0)["models"]] == ["one", "two"]
        assert registry.describe("two", None)[0]["modelVersion"] == "1.0"
        assert registry.describe("two", None)[0]["loadedAtStartup"] is True
        assert "Failed to load model: junk.mar" in caplog.text
        assert await ask(registry, "two", "x", version="2.0") == "2.0 x"


async def test_closing_in_the_middle_of_everything_leaves_no_process_and_no_file(folder: Path) -> None:
    async with running(folder) as registry:
        await registry.register(RegisterRequest(url=archive(folder, "echo"), initial_workers=1, synchronous=True))
        slow = archive(folder, "slow", source="import time\ntime.sleep(60)\n" + ECHO)
        starting = asyncio.ensure_future(
            registry.register(RegisterRequest(url=slow, initial_workers=1, synchronous=True))
        )
        asked = asyncio.ensure_future(ask(registry, "echo", "sleep 60"))
        await until(lambda: len(workers_alive()) == 2)

    for waiting in (starting, asked):
        with pytest.raises(errors.ServerStopping):
            await waiting
    assert workers_alive() == []
    await until(lambda: not list(unpacked(folder)))


async def test_a_storm_of_operations_ends_with_a_table_that_matches_the_processes(folder: Path) -> None:
    """Eight operators at once on two models: whatever happens in between, nothing may be left over or lost."""
    names, versions = ("a", "b"), ("1.0", "2.0")
    for name in names:
        for version in versions:
            archive(folder, name, version=version)

    async with running(folder, drain_timeout_s=5.0) as registry:

        async def operator(seed: int) -> None:
            for step in range(6):
                number = seed * 7 + step * 5
                name, version = names[number % 2], versions[number // 2 % 2]
                with contextlib.suppress(errors.ClientError, errors.ManagementError):
                    if step % 3 == 0:
                        url = f"{name}-{version}.mar"
                        await registry.register(RegisterRequest(url=url, initial_workers=1, synchronous=seed % 2 == 0))
                    elif step % 3 == 1:
                        await registry.set_default(name, version)
                        await registry.scale(ScaleRequest(model=name, version=version, min_workers=1 + seed % 2))
                    elif seed % 3:
                        await registry.unregister(name, version)

        await asyncio.gather(*(operator(seed) for seed in range(8)))

        described = [
            entry
            for model in registry.list_models(100, 0)["models"]
            for entry in registry.describe(model["modelName"], "all")
        ]
        for entry in described:
            await registry.scale(
                ScaleRequest(model=entry["modelName"], version=entry["modelVersion"], min_workers=1, synchronous=True)
            )
        pids = {
            worker["pid"]
            for entry in described
            for worker in registry.describe(entry["modelName"], entry["modelVersion"])[0]["workers"]
        }
        assert len(pids) == len(described)
        assert pids == set(workers_alive())
        await until(lambda: len(list(unpacked(folder))) == len(described))
        for name in {entry["modelName"] for entry in described}:
            assert (await ask(registry, name)).endswith("hello")
    assert workers_alive() == []
    await until(lambda: not list(unpacked(folder)))


WHERE = """
import importlib.util, sys

def handle(data, context):
    return [sys.prefix + " " + str(importlib.util.find_spec("tiny_thing") is not None) for _ in data or ()]
"""


def _wheel(path: Path) -> str:
    """A package without dependencies, so that pip needs no network."""
    name = "tiny_thing-1.0-py3-none-any.whl"
    info = "tiny_thing-1.0.dist-info"
    files = {
        "tiny_thing.py": "x = 1\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path / name, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return name


@pytest.mark.parametrize("operator_allows", [True, False])
@pytest.mark.parametrize("use_venv", [True, False])
async def test_requirements_are_installed_only_where_the_operator_allows_it(
    folder: Path, operator_allows: bool, use_venv: bool
) -> None:
    wheel = _wheel(folder)
    url = archive(folder, "where", source=WHERE, yaml=f"useVenv: {str(use_venv).lower()}\n")
    with zipfile.ZipFile(folder / "store" / url, "a") as mar:
        mar.write(folder / wheel, wheel)
        mar.writestr("requirements.txt", f"./{wheel}\n")
    _say_requirements(folder / "store" / url)

    async with running(folder, install_py_dep_per_model=operator_allows) as registry:
        await registry.register(RegisterRequest(url=url, initial_workers=1, synchronous=True))
        prefix, installed = (await ask(registry, "where")).split()

        assert installed == str(operator_allows)
        assert (prefix != sys.prefix) is use_venv


async def test_a_register_whose_requirements_cannot_be_installed_leaves_nothing(folder: Path) -> None:
    url = archive(folder, "where", source=WHERE)
    with zipfile.ZipFile(folder / "store" / url, "a") as mar:
        mar.writestr("requirements.txt", "./missing-1.0-py3-none-any.whl\n")
    _say_requirements(folder / "store" / url)

    async with running(folder, install_py_dep_per_model=True) as registry:
        with pytest.raises(errors.RequirementsFailed, match=r"^Custom pip package installation failed for model where"):
            await registry.register(RegisterRequest(url=url))

        assert registry.list_models(100, 0) == {"models": []}
        await until(lambda: not list(unpacked(folder)))


def _say_requirements(mar: Path) -> None:
    """Rewrites the archive with a manifest that names requirements.txt."""
    with zipfile.ZipFile(mar) as old:
        files = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(files["MAR-INF/MANIFEST.json"])
    manifest["model"]["requirementsFile"] = "requirements.txt"
    files["MAR-INF/MANIFEST.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(mar, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)


async def test_a_model_that_does_not_fit_is_refused_for_want_of_memory(folder: Path) -> None:
    url = archive(folder, "huge", source="raise MemoryError('3 GB for the weights')\n")
    async with running(folder) as registry:
        with pytest.raises(errors.WorkersOutOfMemory, match="MemoryError: 3 GB for the weights"):
            await registry.register(RegisterRequest(url=url, initial_workers=1, synchronous=True))
