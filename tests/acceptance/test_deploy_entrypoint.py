"""The image's entry point with the commands that images of TorchServe are started with, and the real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
import trustme
import yaml
from deploy_kit import DEPLOY
from torchserve_kit import STARTED, TORCHSERVE, Place, archive, wait_until_served
from waiting import wait_until

ENTRY_POINT = DEPLOY / "docker" / "dockerd-entrypoint.sh"


@pytest.fixture
def place(place: Place, tmp_path: Path) -> Place:
    archive(place.store, "echo")
    place.configure(f"model_store={place.store}", "load_models=all")
    place.env |= {
        "PATH": f"{TORCHSERVE.parent}:{os.environ['PATH']}",
        "TS_CONFIG_FILE": str(tmp_path / "config.properties"),
    }
    return place


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


# --------------------------------------------------------------------------------------------------- HEALTHCHECK


def health(place: Place) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, DEPLOY / "docker" / "healthcheck.py"],
        cwd="/",
        env=place.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr.strip()


def test_the_health_of_a_container_is_asked_where_its_server_listens(place: Place) -> None:
    """Neither the port nor the file are the image's, and the command names the file relative to its folder."""
    assert health(place) == (1, "no server runs")
    del place.env["TS_CONFIG_FILE"]
    place.configure(f"model_store={place.store}", "load_models=all")
    process = start(place, "torchserve", "--start", "--ts-config", "config.properties")
    wait_until_started(place, process)
    assert health(place) == (0, "")
    place.server().suspend()
    status, reason = health(place)
    place.server().resume()
    assert (status, reason) == (1, "timed out")


def test_the_health_of_a_server_with_tls_needs_no_certificate(place: Place) -> None:
    certificate, key = (place.folder / name for name in ("cert.pem", "key.pem"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place.folder / "ca.pem"))
    issued = authority.issue_cert("models.example")
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    tls = [f"inference_address=https://127.0.0.1:{place.rest_ports[0]}"]
    tls += [f"certificate_file={certificate}", f"private_key_file={key}"]
    for more in ([], [f"client_ca_file={place.folder}/ca.pem"]):
        place.configure(f"model_store={place.store}", "load_models=all", *tls, *more)
        process = start(place, "serve")
        wait_until(lambda: STARTED in (place.folder / "output").read_text(), "the server starts")
        assert health(place) == (0, "")
        process.terminate()
        assert process.wait(60) == 0


# --------------------------------------------------------------------------------------------------- KServe

KSERVE_FILE = """inference_address=http://0.0.0.0:8085
management_address=http://0.0.0.0:8085
metrics_address=http://0.0.0.0:8082
grpc_inference_port={grpc}
grpc_management_port={grpc_management}
enable_envvars_config=true
install_py_dep_per_model=false
enable_metrics_api=true
metrics_mode=prometheus
NUM_WORKERS=1
number_of_netty_threads=4
job_queue_size=10
model_store=/mnt/models/model-store
model_snapshot={{"name":"startup.cfg","modelCount":1,"models":{{"echo":{{"1.0":{{"defaultVersion":true,"marName":"echo.mar",\
"minWorkers":1,"maxWorkers":1,"batchSize":1,"maxBatchDelay":200,"responseTimeout":60}}}}}}}}
"""
TENSOR = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1.0, 2.0]}]}
SUMS = """
def handle(data, context):
    return None if data is None else [float(sum(row["data"])) for row in data]
"""


def test_kserves_runtime_serves_on_kserves_ports_with_the_file_it_always_had(place: Place) -> None:
    """The ports of the runtime's variables are replaced by free ones, and /mnt/models by the test's folder."""
    runtime = yaml.safe_load((DEPLOY / "kserve" / "clusterservingruntime.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    archive(place.folder / "model-store", "echo", SUMS)
    (place.folder / "config").mkdir()
    file = KSERVE_FILE.format(grpc=place.ports[0], grpc_management=place.ports[1])
    (place.folder / "config" / "config.properties").write_text(file)
    free = dict(zip(("8080", "8081", "8082"), map(str, place.rest_ports), strict=True))
    del place.env["TS_CONFIG_FILE"]
    for variable in container["env"]:
        address, colon, port = variable["value"].rpartition(":")
        place.env[variable["name"]] = f"{address}{colon}{free.get(port, port)}".replace("0.0.0.0", "127.0.0.1")
    place.env["TS_SERVICE_ENVELOPE"] = "kservev2"
    process = start(place, *(word.replace("/mnt/models", str(place.folder)) for word in container["args"]))
    output = place.folder / "output"
    wait_until(lambda: STARTED in output.read_text() or process.poll() is not None, "the server starts")
    assert process.poll() is None, output.read_text()
    address = f"http://127.0.0.1:{place.rest_ports[0]}"
    wait_until(lambda: answers(f"{address}/ready"), "the model is ready")
    assert answers(f"{address}/v2/models/echo/ready")
    request = urllib.request.Request(
        f"{address}/v2/models/echo/infer", json.dumps(TENSOR).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        (tensor,) = json.load(answer)["outputs"]
    assert tensor["data"] == [3.0]
    with urllib.request.urlopen(f"http://127.0.0.1:{place.rest_ports[2]}/metrics", timeout=30) as answer:
        assert b"stoker_queue_depth" in answer.read()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
