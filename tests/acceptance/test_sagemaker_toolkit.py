"""SageMaker's own toolkit starts stoker as the server of a container, and stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import namespaces
import pytest
from deploy_kit import REPOSITORY, TOOLS
from torchserve_kit import TORCHSERVE

TOOLKIT = TOOLS / "sagemaker"
INFERENCE = """
def model_fn(model_dir):
    with open(model_dir + "/factor") as file:
        return float(file.read())

def predict_fn(data, model):
    return data * model
"""

pytestmark = pytest.mark.models  # the toolkit's handler needs torch


@pytest.fixture
def toolkit() -> Path:
    if not (TOOLKIT / "sagemaker_pytorch_serving_container").is_dir():
        pytest.skip("SageMaker's toolkit is not installed (scripts/install --deploy)")
    return TOOLKIT


def model(folder: Path, factor: float) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(INFERENCE)
    (folder / "factor").write_text(str(factor))


def run(kind: str, base: Path, toolkit: Path, **more: str) -> dict[str, Any]:
    (base / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TS_", "SAGEMAKER_"))}
    program = REPOSITORY / "tests" / "clients" / "sagemaker_calls.py"
    done = subprocess.run(
        [
            *namespaces.unshare(*namespaces.IN_CONTAINER),
            "sh",
            "-c",
            f'{namespaces.LOOPBACK}; exec "$@"',
            "sh",
            sys.executable,
            program,
            kind,
            base,
        ],
        cwd=base,
        env={
            **environment,
            "PATH": f"{TORCHSERVE.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(toolkit),
            "TEMP": str(base / "tmp"),
            "SAGEMAKER_BASE_DIR": str(base),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=115,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(results, dict)
    return results


def test_an_endpoint_of_one_model_is_started_called_and_stopped(tmp_path: Path, toolkit: Path) -> None:
    model(tmp_path / "model", 2)
    results = run("single", tmp_path, toolkit, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    assert results == {"invocation": [200, [2.0, 4.0]], "exit": 0}


def test_models_of_a_multi_model_endpoint_come_and_go(tmp_path: Path, toolkit: Path) -> None:
    model(tmp_path / "models" / "a" / "model", 2)
    model(tmp_path / "models" / "b" / "model", 3)
    # The toolkit's own file ends in `enable_model_api=true` without a line end, and the next key is glued to it.
    results = run("multi", tmp_path, toolkit, SAGEMAKER_MULTI_MODEL="true", TS_ENABLE_MODEL_API="true")
    assert results == {
        "loads": [200, 200],
        "listed": ["a", "b"],
        "a": [200, [2.0, 4.0]],
        "b": [200, [3.0, 6.0]],
        "again": 409,
        "unload": 200,
        "gone": 404,
        "unload again": 404,
        "unusual names": [[200, 200, 200]] * 2,
        "stays": 200,
        "exit": 0,
    }
