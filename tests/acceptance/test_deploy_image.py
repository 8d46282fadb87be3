"""The real Dockerfile on a Debian made from its packages, and containers of it as docker and Kubernetes start them.

Takes minutes, root and Debian's packages, so it runs only where STOKER_TEST_IMAGE names a folder, in which the layers
are kept for the next time. STOKER_TEST_IMAGE_TORCH: what to put in as TORCH (default: nothing).
"""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from container_kit import Engine
from deploy_kit import DEPLOY, REPOSITORY
from torchserve_kit import HANDLER, archive
from waiting import wait_until

from stoker.bench.ports import free_ports

KEPT = os.environ.get("STOKER_TEST_IMAGE")
TORCH = os.environ.get("STOKER_TEST_IMAGE_TORCH", "")
BASE = "localhost/debian:bookworm-slim"
IMAGE = "localhost/stoker:tested"
BEGUN = "the request has begun"
FOLDERS = ("tmp", "logs")
pytestmark = [
    pytest.mark.skipif(not KEPT, reason="takes minutes; STOKER_TEST_IMAGE=FOLDER runs it"),
    pytest.mark.timeout(1800),
]

Start = Callable[..., str]
"""Starts a container: options of podman, then ``command``. Returns its name."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    assert KEPT is not None
    engine = Engine(Path(KEPT).resolve())
    engine.prepare()
    engine.import_debian(BASE)
    arguments = {"BASE_IMAGE": BASE, "TORCH": TORCH, "PIP_ARGS": os.environ.get("PIP_ARGS", "")}
    engine.build(DEPLOY / "docker" / "Dockerfile", context=REPOSITORY, tag=IMAGE, arguments=arguments)
    return engine


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def start(engine: Engine, port: int, tmp_path: Path) -> Iterator[Start]:
    tmp_path.chmod(0o755)
    archive(tmp_path / "models", "echo", HANDLER.replace("time.sleep(", f"print({BEGUN!r}); time.sleep("))
    names: list[str] = []

    def started(*options: str, command: tuple[str, ...]) -> str:
        publish = ("--publish", f"127.0.0.1:{port}:8080")
        volume = ("--volume", f"{tmp_path}/models:/home/model-server/model-store:ro")
        done = engine.podman("run", "--detach", *publish, *volume, *options, IMAGE, *command)
        names.append(done.stdout.strip())
        return names[-1]

    yield started
    for name in names:
        engine.podman("rm", "--force", "--time", "0", name, check=False)


def until_ready(engine: Engine, container: str, port: int) -> None:
    def over() -> bool:
        return ready(port) or not engine.inspect(container)["State"]["Running"]

    wait_until(over, "the models are ready", 120)
    assert engine.inspect(container)["State"]["Running"], output(engine, container)


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def predict(port: int, text: str) -> bytes:
    headers = {"Authorization": "Bearer secret"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predictions/echo", urlencode({"data": text}).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def healthy(engine: Engine, container: str) -> subprocess.CompletedProcess[str]:
    return engine.podman("healthcheck", "run", container, check=False)


def test_a_container_with_nothing_writable_serves_and_answers_what_it_has_begun(
    engine: Engine, start: Start, port: int
) -> None:
    writable = [word for name in FOLDERS for word in ("--tmpfs", f"/home/model-server/{name}")]
    locked = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    container = start(*locked, *writable, "--env", "TS_INFERENCE_TOKEN=secret", command=("serve", "--models", "all"))
    until_ready(engine, container, port)
    assert predict(port, "x") == b"got x"
    assert engine.podman("exec", container, "id", "-u").stdout.strip() == "1000"
    assert engine.podman("exec", container, "touch", "/home/model-server/x", check=False).returncode != 0
    assert healthy(engine, container).returncode == 0
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(predict, port, "sleep 6")
        wait_until(lambda: BEGUN in output(engine, container), "the handler has the request", 20)
        engine.podman("stop", "--time", "50", container, timeout=70)
        assert begun.result() == b"got sleep 6"
    assert engine.inspect(container)["State"]["ExitCode"] == 0


def output(engine: Engine, container: str) -> str:
    logs = engine.podman("logs", container)
    return logs.stdout + logs.stderr


def test_torchserves_command_serves_as_a_user_that_nobody_knows(engine: Engine, start: Start, port: int) -> None:
    """As OpenShift starts it: a number of its own, in group 0, and the image's folders writable."""
    command = ("torchserve", "--start", "--model-store", "model-store", "--models", "echo=echo.mar")
    more = ("--ts-config", "config.properties", "--disable-token-auth")
    container = start("--user", "1000670000:0", command=(*command, *more))
    until_ready(engine, container, port)
    assert predict(port, "x") == b"got x"
    assert healthy(engine, container).returncode == 0


def test_a_container_that_cannot_start_ends_with_the_reason(engine: Engine, start: Start) -> None:
    container = start("--env", "TS_JOB_QUEUE_SIZE=many", command=("serve",))
    wait_until(lambda: not engine.inspect(container)["State"]["Running"], "the container ends", 60)
    assert engine.inspect(container)["State"]["ExitCode"] == 1
    assert "job_queue_size" in output(engine, container)
    assert healthy(engine, container).returncode != 0
