"""The Dockerfile's steps, in a clean Debian, and the server in it as Kubernetes runs it: no root, nothing writable.

Takes minutes and needs Debian's packages, so it runs only where STOKER_TEST_IMAGE names a folder, in which the clean
Debian is kept (`root.tar`) for the next time.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dockerfile_kit
import namespaces
import pytest
from deploy_kit import DEPLOY, REPOSITORY
from dockerfile_kit import Stage
from torchserve_kit import STARTED, archive, wait_until

KEPT = os.environ.get("STOKER_TEST_IMAGE")
pytestmark = [
    pytest.mark.skipif(not KEPT, reason="takes minutes; STOKER_TEST_IMAGE=FOLDER runs it"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def base() -> Path:
    assert KEPT is not None
    tar = Path(KEPT) / "root.tar"
    if tar.exists():
        return tar
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed")
    tar.parent.mkdir(parents=True, exist_ok=True)
    made = tar.with_name("root-new.tar")
    subprocess.run(
        ["mmdebstrap", "--variant=apt", "--include=ca-certificates", "bookworm", made], check=True, timeout=900
    )
    made.rename(tar)
    return tar


@pytest.fixture(scope="module")
def image(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    places = tmp_path_factory.mktemp("image")
    arguments = {"TORCH": "", **{name: value for name, value in os.environ.items() if name == "PIP_ARGS"}}
    yield dockerfile_kit.build(
        DEPLOY / "docker" / "Dockerfile", context=REPOSITORY, base=base, places=places, arguments=arguments
    )
    shutil.rmtree(places, ignore_errors=True)


def test_the_image_serves_as_another_user_than_root_with_nothing_writable(image: Stage, tmp_path: Path) -> None:
    archive(image.root / "home/model-server/model-store", "echo")
    root = image.root
    user, group = image.user.split(":")
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    command = [*image.entry_point, *image.command, "--models", "all"]
    script = "\n".join(
        [
            "set -e",
            namespaces.LOOPBACK,
            f"mount --bind {root} {root}",
            f"mount -o remount,ro,bind {root}",
            f"mount -t proc proc {root}/proc",
            f"mount --bind /dev {root}/dev",
            *(f"mount -t tmpfs -o mode=777 none {root}/home/model-server/{name}" for name in ("tmp", "logs")),
            f"chroot {root} env -i {shlex.join(variables)} HOME=/home/model-server/tmp TS_INFERENCE_TOKEN=secret "
            f"setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --bounding-set=-all "
            f"sh -c {shlex.quote(f'cd {image.folder} && exec ' + shlex.join(command))} &",
            "server=$!",
            "trap 'kill -TERM $server' TERM",
            "wait $server || true",
            "wait $server",
        ]
    )
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [*namespaces.unshare("--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"), "sh", "-c", script],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        said = tmp_path / "output"
        wait_until(lambda: STARTED in said.read_text() or process.poll() is not None, "the server starts", 120)
        assert process.poll() is None, said.read_text()
        (shell,) = children(process.pid)
        assert ask(shell, "http://127.0.0.1:8080/live") == {"live": True}
        until_ready(shell)
        assert b"got x" in within(shell, "-H", "Authorization: Bearer secret", "-d", "data=x", predictions())
        os.kill(shell, signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Server stopped." in said.read_text()
    finally:
        process.kill()
        process.wait(30)


def predictions() -> str:
    return "http://127.0.0.1:8080/predictions/echo"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def within(pid: int, *words: str) -> bytes:
    """Calls curl in the network of the process."""
    done = subprocess.run(
        ["nsenter", "--net", "--target", str(pid), "curl", "-s", *words], capture_output=True, timeout=30
    )
    return done.stdout


def ask(pid: int, address: str) -> object:
    return json.loads(within(pid, address))


def until_ready(pid: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if ask(pid, "http://127.0.0.1:8080/ready") == {"ready": True}:
            return
        time.sleep(0.2)
    raise AssertionError(ask(pid, "http://127.0.0.1:8080/ready"))
