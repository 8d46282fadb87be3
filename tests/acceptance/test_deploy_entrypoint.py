"""The image's entry point with the commands that images of TorchServe are started with, and the real server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from deploy_kit import DEPLOY
from torchserve_kit import STARTED, TORCHSERVE, Place, archive, wait_until, wait_until_served

ENTRY_POINT = DEPLOY / "docker" / "dockerd-entrypoint.sh"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    archive(place.store, "echo")
    place.configure(f"model_store={place.store}", "load_models=all")
    place.env |= {
        "PATH": f"{TORCHSERVE.parent}:{os.environ['PATH']}",
        "TS_CONFIG_FILE": str(tmp_path / "config.properties"),
    }
    yield place
    place.close()


def start(place: Place, *words: str) -> subprocess.Popen[bytes]:
    with (place.folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["bash", ENTRY_POINT, *words], cwd=place.folder, env=place.env, stdout=output, stderr=subprocess.STDOUT
        )
    place.owns(process)
    return process


def wait_until_started(place: Place, process: subprocess.Popen[bytes]) -> None:
    output = place.folder / "output"
    wait_until(lambda: STARTED in output.read_text() or process.poll() is not None, "the server starts")
    assert process.poll() is None, output.read_text()
    with place.client() as client:
        wait_until_served(client, "echo")
        assert client.predict("echo", b"x").text == "got x"


@pytest.mark.parametrize(
    "words",
    [
        ["serve"],
        [],
        ["torchserve", "--start", "--model-store", "models", "--models", "echo=echo.mar"],
    ],
    ids=["serve", "nothing", "torchserve"],
)
def test_the_server_becomes_the_first_process_and_drains_at_sigterm(place: Place, words: list[str]) -> None:
    process = start(place, *words)
    wait_until_started(place, process)
    assert place.server().pid == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert list(place.temp.iterdir()) == []


def test_a_line_of_shell_is_evaluated_and_the_container_lives_as_long_as_its_server(place: Place) -> None:
    process = start(place, "touch here", "&&", "torchserve --start --model-store models")
    wait_until_started(place, process)
    assert (place.folder / "here").exists()
    server = place.server()
    assert server.pid != process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    psutil.wait_procs([server], timeout=60)
    assert list(place.temp.iterdir()) == []


def test_a_container_ends_when_its_server_does(place: Place) -> None:
    process = start(place, "eval", "torchserve --start --model-store models")
    wait_until_started(place, process)
    place.server().kill()
    assert process.wait(60) == 0


def test_a_command_that_starts_no_server_has_its_own_exit_status(place: Place) -> None:
    assert start(place, "exit", "7").wait(30) == 7
    assert start(place, "true").wait(30) == 0
    assert start(place, "torchserve", "--version").wait(30) == 0
    assert "TorchServe Version" in (place.folder / "output").read_text()


def test_a_start_that_fails_ends_the_container_with_its_status(place: Place) -> None:
    (place.folder / "config.properties").write_text("job_queue_size=many")
    assert start(place, "serve").wait(60) == 1
    assert "job_queue_size" in (place.folder / "output").read_text()
