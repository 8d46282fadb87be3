"""Implements `ts.launcher`: starts and stops a server from a script or a notebook, with TorchServe's functions.

The server's output is printed and goes into a queue as lines of text.  Registering uses REST and returns a response of
`requests`, or a similar object if that package is not installed.
"""

from __future__ import annotations

import importlib
import os
import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from stoker.cli import stopping
from stoker.cli.instance import Instance
from stoker.cli.lifecycle import temp_dir
from stoker.cli.plain_response import PlainResponse
from stoker.cli.serving import STARTED
from stoker.snapshots.resuming import load_for_start

_COMMAND = (sys.executable, "-m", "stoker.cli.torchserve")
_REGISTER_TIMEOUT_S = 600.0
_MOST_LINES = 1000

Lines = queue.Queue[str | None]
"""Lines of output; None at its end. A queue that is not read keeps its first lines."""
_management = "http://127.0.0.1:8081"  # management address of the server that `start` started last


def start(
    model_store: str | None = None,
    snapshot_file: str | None = None,
    no_config_snapshots: bool = False,
    plugin_folder: str | None = None,
    disable_token: bool = False,
    models: str | Sequence[str] | None = None,
    enable_model_api: bool = False,
) -> Lines:
    """Stops a running server, starts another, and waits until it is up or has failed to start."""
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
    lines, started = _launch(command)
    if started:
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


def register_model(model_name: str, url: str) -> Any:
    """Registers a model with one worker, and waits for it."""
    return register_model_with_params(
        (("model_name", model_name), ("url", url), ("initial_workers", "1"), ("synchronous", "true"))
    )


def register_model_with_params(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Any:
    """Registers a model. ``params``: query parameters of the REST call. Returns the response, whatever its status."""
    given = list(params.items() if isinstance(params, Mapping) else params)
    url = f"{_management}/models"
    try:
        requests: Any = importlib.import_module("requests")
    except ImportError:
        return _plain_post(f"{url}?{urllib.parse.urlencode(given)}")
    return requests.post(url, params=given, timeout=_REGISTER_TIMEOUT_S)


def _plain_post(url: str) -> PlainResponse:
    request = urllib.request.Request(url, method="POST")  # noqa: S310 - http or https, by the settings
    try:
        with urllib.request.urlopen(request, timeout=_REGISTER_TIMEOUT_S) as answer:  # noqa: S310 - as above
            return PlainResponse(url, answer.status, answer.reason, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return PlainResponse(url, error.code, str(error.reason), error.headers, error.read())


def _launch(command: Sequence[str]) -> tuple[Lines, bool]:
    """Starts a server. Returns the lines so far and to come, and whether it has started."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    lines: Lines = queue.Queue(_MOST_LINES)
    for line in process.stdout:
        _pass_on(line, lines)
        if STARTED in line:
            follow = threading.Thread(
                target=_follow, args=(process.stdout, lines), name="ts-launcher-output", daemon=True
            )
            follow.start()
            threading.Thread(target=process.wait, name="ts-launcher-wait", daemon=True).start()
            return lines, True
    process.stdout.close()
    process.wait()
    _end(lines)
    return lines, False


def _follow(output: IO[str], lines: Lines) -> None:
    """Reads until the server, which inherited the pipe, ends; the launcher itself ends much earlier."""
    with output:
        for line in output:
            _pass_on(line, lines)
    _end(lines)


def _pass_on(line: str, lines: Lines) -> None:
    print(line.strip())
    if not lines.full():
        lines.put(line)


def _end(lines: Lines) -> None:
    """Puts the end mark, even into a full queue, because readers wait for it."""
    while lines.full():
        lines.get_nowait()
    lines.put(None)


def _remember_management(ts_config: str | None) -> None:
    global _management  # noqa: PLW0603 - the functions of ts.launcher share one server
    settings = load_for_start(arguments={}, environment=os.environ, ts_config=ts_config, resume=False).settings
    place = settings.management_address
    everywhere = place.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    _management = f"{place.scheme}://localhost:{place.port}" if everywhere else str(place)
