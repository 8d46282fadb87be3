"""pip for real, without a network: the only package is a wheel that lies in the model's directory."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from stoker.archive.manifest import Manifest
from stoker.archive.requirements import Installer
from stoker.errors import RequirementsFailed

MANIFEST = Manifest(model_name="m", requirements_file="requirements.txt")


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    with zipfile.ZipFile(model_dir / "tiny_pkg-1.0-py3-none-any.whl", "w") as wheel:
        info = "tiny_pkg-1.0.dist-info"
        wheel.writestr("tiny_pkg.py", "answer = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-pkg\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"tiny_pkg.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    (model_dir / "requirements.txt").write_text("./tiny_pkg-1.0-py3-none-any.whl\n")
    return model_dir


async def test_packages_go_into_the_models_directory(model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await Installer(python=sys.executable).install(model="m", manifest=MANIFEST, model_dir=model_dir)
    assert (model_dir / "tiny_pkg.py").read_text() == "answer = 42\n"
    assert "Successfully installed tiny" in caplog.text


async def test_a_venv_sees_its_own_packages_and_those_of_the_server(model_dir: Path) -> None:
    python = await Installer(python=sys.executable).make_venv(
        model="m", manifest=MANIFEST, model_dir=model_dir, venv_dir=model_dir.with_name("venv")
    )
    code = "import tiny_pkg, msgspec, stoker, sys; print(tiny_pkg.__file__, sys.prefix)"
    output = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split()[0].startswith(str(model_dir.with_name("venv")))
    assert output.split()[1] == str(model_dir.with_name("venv"))
    assert not (model_dir / "tiny_pkg.py").exists()


async def test_a_venv_without_requirements_is_made_too(model_dir: Path) -> None:
    python = await Installer(python=sys.executable).make_venv(
        model="m", manifest=Manifest(model_name="m"), model_dir=model_dir, venv_dir=model_dir.with_name("venv")
    )
    code = "import msgspec, sys; print(sys.prefix)"
    output = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == str(model_dir.with_name("venv"))


async def test_without_a_requirements_file_nothing_runs(model_dir: Path) -> None:
    before = sorted(model_dir.iterdir())
    await Installer(python="/nonexistent").install(model="m", manifest=Manifest(model_name="m"), model_dir=model_dir)
    assert sorted(model_dir.iterdir()) == before


async def test_a_package_that_cannot_be_had_is_torchserves_error(model_dir: Path) -> None:
    (model_dir / "requirements.txt").write_text("a-package-that-is-nowhere\n")
    with pytest.raises(RequirementsFailed, match=r"^Custom pip package installation failed for model m$"):
        await Installer(python=sys.executable).install(model="m", manifest=MANIFEST, model_dir=model_dir)


async def test_a_python_that_is_not_there_is_told_apart(model_dir: Path) -> None:
    installer = Installer(python="/nonexistent/python")
    with pytest.raises(RequirementsFailed, match="Custom pip package installation failed"):
        await installer.install(model="m", manifest=MANIFEST, model_dir=model_dir)
    with pytest.raises(RequirementsFailed, match=r"^Virtual environment creation failed for model m$"):
        await installer.make_venv(model="m", manifest=MANIFEST, model_dir=model_dir, venv_dir=model_dir / "v")


def slow_python(folder: Path) -> Path:
    """Stands for a pip that hangs, with a child of its own, and tells their numbers."""
    script = folder / "python"
    script.write_text('#!/bin/sh\nsleep 1000 &\necho "$$ $!" > "$(dirname "$0")/pids"\necho started\nwait\n')
    script.chmod(0o755)
    return script


def assert_gone(folder: Path) -> None:
    left = [int(pid) for pid in (folder / "pids").read_text().split()]
    until = time.monotonic() + 60
    while any(map(runs, left)):  # the kernel may need a moment for the child of the child
        assert time.monotonic() < until
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # an orphan that init has yet to collect
    except psutil.NoSuchProcess:
        return False


async def test_a_pip_that_takes_too_long_is_killed_with_its_children(model_dir: Path) -> None:
    installer = Installer(python=str(slow_python(model_dir)), timeout_s=2.0)
    with pytest.raises(RequirementsFailed):
        await installer.install(model="m", manifest=MANIFEST, model_dir=model_dir)
    assert_gone(model_dir)


async def test_a_cancelled_registration_kills_its_pip(model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    started = asyncio.Event()

    class Watcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "started" in record.getMessage():
                started.set()

    watcher = Watcher()
    logging.getLogger("stoker.archive").addHandler(watcher)
    installer = Installer(python=str(slow_python(model_dir)))
    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(installer.install(model="m", manifest=MANIFEST, model_dir=model_dir))
        await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    logging.getLogger("stoker.archive").removeHandler(watcher)
    assert_gone(model_dir)
