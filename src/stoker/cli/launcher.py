"""`ts.launcher`: starts and stops a server from a script or a notebook, with the functions it has always had.

Registering goes over gRPC; what comes back can be asked for `status_code`, `text` and `json()`, as the REST answer of
the original could.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.cli import stopping
from stoker.cli.instance import Instance
from stoker.cli.serving import STARTED
from stoker.cli.torchserve import temp_dir
from stoker.client import CallError, Client, Endpoint
from stoker.config.address import grpc_place
from stoker.config.startup import load_for_start
from stoker.errors import StartupError

_COMMAND = (sys.executable, "-m", "stoker.cli.torchserve")
_REGISTER_TIMEOUT_S = 600.0
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 405,
    "DEADLINE_EXCEEDED": 408,
    "ALREADY_EXISTS": 409,
    "UNAVAILABLE": 503,
}
_NUMBERS = {
    "batch_size": "batch_size",
    "max_batch_delay": "max_batch_delay_ms",
    "initial_workers": "initial_workers",
    "response_timeout": "response_timeout_s",
    "startup_timeout": "startup_timeout_s",
}
_TEXTS = ("model_name", "handler", "runtime")

Lines = queue.Queue[bytes]
_management = Endpoint().management  # of the server that `start` started last


@dataclass(frozen=True, slots=True)
class RegisterResponse:
    status_code: int
    text: str

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        return json.loads(self.text)


def start(
    model_store: str | None = None,
    snapshot_file: str | None = None,
    no_config_snapshots: bool = False,
    plugin_folder: str | None = None,
    disable_token: bool = True,
    models: str | Sequence[str] | None = None,
    enable_model_api: bool = True,
) -> Lines:
    """Stops the server that runs, starts another and waits until it is up. Its output lines arrive in the queue.

    Raises:
        StartupError: it did not start; with what it said.
    """
    stop()
    command = [*_COMMAND, "--start"]
    for flag, value in (
        ("--model-store", model_store),
        ("--ts-config", snapshot_file),
        ("--plugins-path", plugin_folder),
    ):
        command += [flag, value] if value is not None else []
    command += ["--no-config-snapshots"] if no_config_snapshots else []
    command += ["--disable-token-auth"] if disable_token else []
    command += ["--enable-model-api"] if enable_model_api else []
    command += ["--models", *([models] if isinstance(models, str) else models)] if models else []
    lines = _launch(command)
    _remember_management(snapshot_file)
    return lines


def stop(wait: bool = True) -> None:
    """Stops the server of this temp folder, if there is one."""
    if wait:
        stopping.stop(temp_dir())
        return
    server = Instance(temp_dir()).running()
    if server is not None:
        stopping.ask(server, wait_s=0)


def register_model(model_name: str, url: str) -> RegisterResponse:
    """With one worker, and waits for it."""
    return register_model_with_params(
        (("model_name", model_name), ("url", url), ("initial_workers", "1"), ("synchronous", "true"))
    )


def register_model_with_params(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> RegisterResponse:
    """``params``: the query parameters of the REST call."""
    given = dict(params)
    options: dict[str, Any] = {name: str(given[name]) for name in _TEXTS if given.get(name)}
    options |= {ours: int(given[name]) for name, ours in _NUMBERS.items() if given.get(name)}
    synchronous = str(given.get("synchronous", "false")).lower() == "true"
    try:
        with Client(Endpoint(management=_management)) as client:
            answer = client.register(
                str(given.get("url", "")), synchronous=synchronous, timeout=_REGISTER_TIMEOUT_S, **options
            )
    except CallError as error:
        code = _HTTP.get(error.code.name, 500)
        return RegisterResponse(code, json.dumps({"code": code, "message": error.message}))
    return RegisterResponse(200, json.dumps({"status": answer}))


# --------------------------------------------------------------------------------------------- starting


def _launch(command: Sequence[str]) -> Lines:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    lines: Lines = queue.Queue()
    said = []
    for line in process.stdout:
        lines.put(line)
        said.append(line.decode("utf-8", "replace").rstrip())
        if STARTED in said[-1]:
            threading.Thread(target=_follow, args=(process, lines), name="ts-launcher-output", daemon=True).start()
            return lines
    process.stdout.close()
    process.wait()
    raise StartupError("\n".join(["The server did not start.", *said]))


def _follow(process: subprocess.Popen[bytes], lines: Lines) -> None:
    """Until the server, which inherited the pipe, ends; the launcher itself is gone long before."""
    process.wait()
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.put(line)


def _remember_management(ts_config: str | None) -> None:
    global _management  # noqa: PLW0603 - the functions of ts.launcher share one server
    settings = load_for_start(arguments={}, environment=os.environ, ts_config=ts_config, resume=False).settings
    _management = grpc_place(settings.grpc_management_address, settings.grpc_management_port)
