"""`stoker bench` on a tiny model, with real servers; and what it says where its load generator is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stoker.archive import builder
from stoker.bench.processes import MARK, every_pid

HANDLER = """
def handle(data, context):
    return None if data is None else ["fine"] * len(data)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    handler = tmp_path / "tiny.py"
    handler.write_text(HANDLER)
    return builder.build(
        builder.BuildRequest(model_name="tiny", version="1.0", handler=str(handler), export_path=str(tmp_path))
    )


def bench(model: Path, *options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    payload = model.with_name("payload")
    payload.write_bytes(b"x" * 100)
    command = [sys.executable, "-m", "stoker.cli.stoker", "bench", str(model), "--input", str(payload), *options]
    environment = {**os.environ, **({"PATH": path} if path is not None else {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=False)


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
def test_a_users_model_is_measured_and_nothing_is_left_running(model: Path) -> None:
    before = servers()
    done = bench(model, "--concurrency", "2", "--rounds", "1", "--duration", "1", "--engines", "nghttp2")
    assert done.returncode == 0, done.stderr
    (row,) = [line.split("\t") for line in done.stdout.splitlines()]
    assert row[:2] == ["2", "stoker-nghttp2"]
    assert float(row[2].replace(",", "")) > 0 and float(row[6]) > 0
    assert "without a server" in done.stderr
    assert servers() <= before


def servers() -> set[int]:
    """Processes that a bench started."""
    found = set()
    for pid in every_pid():
        try:
            if MARK.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.add(pid)
        except OSError:
            pass  # it ended meanwhile, or is not ours
    return found


def test_without_a_load_generator_one_sentence_says_what_to_install(model: Path, tmp_path: Path) -> None:
    done = bench(model, path=str(tmp_path))
    assert done.returncode == 1
    assert "h2load is not on PATH" in done.stderr and "nghttp2-client" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_torchserve_is_reported(model: Path, tmp_path: Path) -> None:
    done = bench(model, "--against", str(tmp_path))
    assert done.returncode == 1
    assert "There is no torchserve at" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("concurrency", ["many", "0", "1,,2"])
def test_a_concurrency_that_is_none_is_refused(model: Path, concurrency: str) -> None:
    done = bench(model, "--concurrency", concurrency)
    assert done.returncode == 1
    assert "whole numbers" in done.stderr
