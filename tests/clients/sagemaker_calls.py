"""Starts a server with SageMaker's toolkit and calls it as SageMaker does. Prints one JSON line.

Arguments: single or multi; the folder for what the toolkit writes into /etc. Runs in namespaces of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ADDRESS = "http://127.0.0.1:8080"
UNUSUAL = ("0f3a9c" * 10 + "-9", "folder.model_v1.2")
"""As SageMaker makes them, from a hash; and as local tools do, from an archive's name."""
STARTER = """
import sys
from sagemaker_pytorch_serving_container import torchserve
torchserve.TS_CONFIG_FILE = sys.argv[1]
torchserve.start_torchserve()
"""


def call(method: str, path: str, document: Any = None) -> tuple[int, Any]:
    data = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(ADDRESS + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def answers(path: str) -> bool:
    try:
        return call("GET", path)[0] == 200
    except OSError:
        return False


def single() -> dict[str, Any]:
    return {"invocation": call("POST", "/invocations", [1.0, 2.0])}


def named(name: str, folder: Path) -> list[int]:
    """Loads, calls and unloads a model under the name. Returns the statuses."""
    load = call("POST", "/models", {"model_name": name, "url": str(folder)})[0]
    invoke = call("POST", f"/models/{name}/invoke", [1.0])[0]
    return [load, invoke, call("DELETE", f"/models/{name}")[0]]


def multi() -> dict[str, Any]:
    models = Path(os.environ["SAGEMAKER_BASE_DIR"]) / "models"
    loads = [call("POST", "/models", {"model_name": n, "url": str(models / n / "model")})[0] for n in ("a", "b")]
    return {
        "loads": loads,
        "listed": sorted(each["modelName"] for each in call("GET", "/models")[1]["models"]),
        "a": call("POST", "/models/a/invoke", [1.0, 2.0]),
        "b": call("POST", "/models/b/invoke", [1.0, 2.0]),
        "again": call("POST", "/models", {"model_name": "a", "url": str(models / "a" / "model")})[0],
        "unload": call("DELETE", "/models/a")[0],
        "gone": call("POST", "/models/a/invoke", [1.0])[0],
        "unload again": call("DELETE", "/models/a")[0],
        "unusual names": [named(name, models / "b" / "model") for name in UNUSUAL],
        "stays": call("POST", "/models/b/invoke", [1.0])[0],
    }


def status_of(starter: subprocess.Popen[bytes]) -> int:
    """Waits as the first process of a container does: the server, whose parent is gone, is its child."""
    signal.alarm(60)
    while True:
        pid, status = os.wait()
        if pid == starter.pid:
            return os.waitstatus_to_exitcode(status)


def main() -> None:
    kind, folder = sys.argv[1:]
    starter = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", STARTER, str(Path(folder) / "sagemaker-ts.properties")],
        stdout=sys.stderr,
    )
    end = time.monotonic() + 80
    while not answers("/ping") and time.monotonic() < end and starter.poll() is None:
        time.sleep(0.2)
    results = {"single": single, "multi": multi}[kind]()
    starter.send_signal(signal.SIGTERM)
    results["exit"] = status_of(starter)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
