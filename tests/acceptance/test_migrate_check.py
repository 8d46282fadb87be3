"""`stoker migrate check`, the real command, on a deployment as it lies on a disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

STOKER = Path(sys.executable).with_name("stoker")
PROPERTIES = """\
inference_address=http://0.0.0.0:8080
management_address=http://127.0.0.1:8081
metrics_address=http://127.0.0.1:8082
grpc_inference_port=7070
grpc_management_port=7071
model_store=model-store
load_models=all
models={"shop": {"1.0": {"minWorkers": 1, "maxWorkers": 2, "batchSize": 4, "maxBatchDelay": 50}}}
default_workers_per_model=1
default_response_timeout=60
job_queue_size=200
number_of_netty_threads=8
netty_client_threads=8
prefer_direct_buffer=true
number_of_gpu=0
max_request_size=10485760
max_response_size=10485760
metrics_mode=prometheus
disable_token_authorization=true
enable_model_api=true
enable_envvars_config=true
install_py_dep_per_model=false
async_logging=true
vmargs=-Xmx4g -Dlog4j.configurationFile=file:///log4j2.xml
cors_allowed_origin=*
job_que_size=7
"""


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TS_")}
    done = subprocess.run(
        [STOKER, "migrate", "check", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def archive(path: Path, config: str, handler: str = "def handle(data, context):\n    return data\n") -> None:
    model = {"modelName": path.stem, "modelVersion": "1.0", "handler": "handler.py", "configFile": "config.yaml"}
    with zipfile.ZipFile(path, "w") as mar:
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "model": model}))
        mar.writestr("handler.py", handler)
        mar.writestr("config.yaml", config)


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "config.properties").write_text(PROPERTIES)
    (tmp_path / "model-store").mkdir()
    archive(tmp_path / "model-store" / "shop.mar", "minWorkers: 1\nmaxWorkers: 2\nresponseTimeout: 60\n")
    return tmp_path


def test_a_deployment_that_can_move_over_is_status_0_and_tells_what_changes(deployment: Path) -> None:
    status, text = run(deployment)
    assert status == 0, text
    words = " ".join(text.split())
    assert "number_of_netty_threads (line 12): No effect: it tunes the Java virtual machine" in words
    assert "job_que_size (line 26): Not a setting" in words
    assert "Did you mean job_queue_size?" in words
    assert "Whoever can reach this machine may use the server without a token" in words
    assert "same shop.mar" in words
    assert "Traceback" not in text


def test_what_is_unsupported_is_status_1_for_people_and_for_scripts(deployment: Path) -> None:
    archive(deployment / "model-store" / "chat.mar", "minWorkers: 1\n", "from ts.nowhere import x\n")
    (deployment / "model-store" / "flow.war").write_bytes(b"")
    (deployment / "ts.env").write_text("TS_JOB_QUEUE_SIZE=many\nTS_PLUGINS_PATH=/x\n")
    status, text = run(deployment, ".", "--json", "--env-file", "ts.env")
    assert status == 1, text
    told = json.loads(text)
    unsupported = {(f["area"], f["item"]) for f in told["findings"] if f["verdict"] == "unsupported"}
    assert unsupported == {("environment", "TS_JOB_QUEUE_SIZE"), ("models", "chat.mar"), ("workflows", "flow.war")}
    assert told["exit"] == 1
    assert told["counts"]["unsupported"] == 3
    status, text = run(deployment, "config.properties")
    assert status == 1
    assert "chat.mar (handler.py, line 1): It imports ts.nowhere.x" in " ".join(text.split())


def test_what_is_not_there_is_status_2_and_one_line(tmp_path: Path) -> None:
    status, text = run(tmp_path, "nowhere")
    assert (status, text) == (2, "error: nowhere is neither a file nor a folder.\n")
