"""The package as users get it: a wheel, in an environment of its own, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SERVE = """
import importlib.util, sys
from pathlib import Path
from stoker.archive.builder import BuildRequest, build
from stoker.client import Client
from stoker.testing.server import running_server

assert importlib.util.find_spec("torch") is None, "torch came along"
folder = Path(sys.argv[1])
handler = folder / "handler.py"
handler.write_text("def handle(rows, context):\\n    return None if rows is None else [bytes(r['data']) for r in rows]")
archive = build(BuildRequest(model_name="noop", handler=str(handler), version="1.0", export_path=str(folder)))
with running_server(archives=[archive]) as server, Client(server.endpoint) as client:
    client.register("noop.mar", initial_workers=1, synchronous=True)
    print(client.predict("noop", b"hello", timeout=30).text)
    assert server.stop() == 0
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_only_sources(folder: Path) -> Path:
    """As a checkout that belongs to another user, or a volume that is mounted read-only."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.timeout(600)
def test_the_wheel_serves_a_handler_in_a_clean_environment_without_torch(tmp_path: Path) -> None:
    source = read_only_sources(tmp_path / "source")
    before = names(source)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source, cwd=tmp_path)
    assert names(source) == before
    (wheel,) = tmp_path.glob("stoker-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    assert run(python, "-c", SERVE, tmp_path, cwd=tmp_path) == "hello\n"
    for command in ("torchserve", "torch-model-archiver", "stoker"):
        assert run(python.with_name(command), "--help", cwd=tmp_path)
