"""The command as its users know it: real processes, real ports, real signals."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import psutil
import pytest
from torchserve_kit import (
    STARTED,
    TORCHSERVE,
    Place,
    archive,
    default_ports_are_free,
    wait_until_served,
)
from waiting import wait_until

from stoker import TORCHSERVE_VERSION, __version__
from stoker.client import CallError, Client, Endpoint

ALREADY_RUNNING = "TorchServe is already running, please use torchserve --stop to stop TorchServe.\n"


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


# ----------------------------------------------------------------------------------- the quick start


@pytest.mark.alone
@pytest.mark.skipif(not default_ports_are_free(), reason="another server listens on one of the default ports")
def test_the_quick_start_works_as_written(place: Place) -> None:
    """One command, nothing else said: clients on this machine register and use models without a token."""
    archive(place.store, "echo")
    status, text = place.run("--start", "--model-store", "models/")
    assert status == 0, text
    assert STARTED in text.splitlines()
    with Client(Endpoint()) as client:
        client.register("echo.mar", initial_workers=1, synchronous=True, timeout=60)
        assert client.predict("echo", b"hello", timeout=30).text == "got hello"
        client.unregister("echo", timeout=30)
    assert place.run("--stop") == (0, "TorchServe has stopped.\n")


def test_without_a_word_about_security_a_file_brings_torchserves_defaults_back(place: Place) -> None:
    archive(place.store, "echo")
    (place.folder / "config.properties").write_text("\n".join(place.port_lines))
    place.start()
    keys = json.loads((place.folder / "key_file.json").read_text())
    with place.client() as client, pytest.raises(CallError, match="Token Authorization failed"):
        client.register("echo.mar", timeout=30)
    endpoint = replace(place.endpoint, management_token=keys["management"]["key"])
    with Client(endpoint) as client, pytest.raises(CallError, match="Model API disabled"):
        client.register("echo.mar", timeout=30)
    place.run("--stop")


# ------------------------------------------------------------------------------------ start and stop


def test_start_returns_when_the_ports_are_open_and_stop_when_the_server_is_gone(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=all")
    place.start()
    server = place.server()
    with place.client() as client:
        wait_until_served(client, "echo")
        workers = server.children(recursive=True)
        assert workers
        assert place.run("--start", "--model-store", "models") == (1, ALREADY_RUNNING)
        assert client.predict("echo", b"x", timeout=30).text == "got x"
    assert place.run("--stop") == (0, "TorchServe has stopped.\n")
    assert not alive([server])
    assert not alive(workers)
    assert list(place.temp.iterdir()) == []
    assert place.run("--stop") == (0, "TorchServe is not currently running.\n")


def test_only_this_machine_reaches_the_listeners(place: Place) -> None:
    place.configure()
    place.start()
    listening = [c.laddr for c in place.server().net_connections() if c.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening} == {*place.ports, *place.rest_ports}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    place.run("--stop")


def test_of_two_starts_at_the_same_moment_one_wins(place: Place) -> None:
    place.configure()
    outputs = [place.popen("--start", "--model-store", "models") for _ in range(4)]
    assert sorted(process.wait(90) for process, _ in outputs) == [0, 1, 1, 1]
    assert sorted(output.read_text() == ALREADY_RUNNING for _, output in outputs) == [False, True, True, True]
    place.run("--stop")


def test_a_server_that_was_killed_does_not_stand_in_the_way_and_leaves_no_worker(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=all")
    place.start()
    server = place.server()
    with place.client() as client:
        wait_until_served(client, "echo")
    workers = server.children(recursive=True)
    server.kill()
    wait_until(lambda: not alive([server]), "the server is gone")
    wait_until(lambda: not alive(workers), "its workers are gone")
    assert "Removing orphan pid file.\n" in place.start()
    place.run("--stop")


def test_stop_takes_no_other_process_for_the_server(place: Place) -> None:
    """The number in an old pid file may belong to anybody today."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (place.temp / ".model_server.pid").write_text(f"{bystander.pid}\n")
    assert place.run("--stop") == (0, "Removing orphan pid file.\nTorchServe is not currently running.\n")
    assert bystander.poll() is None
    bystander.communicate(b"\n", timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_in_the_foreground_ends_well_on_a_signal(place: Place, number: signal.Signals) -> None:
    place.configure()
    process, output = place.foreground()
    process.send_signal(number)
    assert process.wait(60) == 0
    assert "Traceback" not in output.read_text()
    assert not (place.temp / ".model_server.pid").exists()


def test_a_background_server_outlives_its_terminal(place: Place) -> None:
    place.configure()
    place.start()
    server = place.server()
    assert psutil.os.getsid(server.pid) == server.pid
    assert psutil.os.readlink(f"/proc/{server.pid}/fd/0") == "/dev/null"
    place.run("--stop")


def test_a_console_whose_reader_left_ends_no_server(place: Place) -> None:
    place.configure()
    command = [TORCHSERVE, "--start", "--foreground", "--model-store", "models"]
    with subprocess.Popen(
        command, cwd=place.folder, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        while STARTED.encode() not in process.stdout.readline():
            pass
        process.stdout.close()
        archive(place.store, "echo")
        with place.client() as client:
            client.register("echo.mar", initial_workers=1, synchronous=True, timeout=60)
            assert client.predict("echo", b"x", timeout=30).text == "got x"
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("engine", ["nghttp2", "grpcio"])
def test_grpc_is_served_on_unix_sockets_that_only_their_owner_may_use(place: Place, engine: str) -> None:
    """On the loop that a server really runs on, whose Unix transports are a class of their own."""
    archive(place.store, "echo")
    files = {api: place.folder / f"{api}.sock" for api in ("inference", "management")}
    with socket.socket(socket.AF_UNIX) as left_by_a_dead_server:
        left_by_a_dead_server.bind(str(files["inference"]))
    place.configure(*(f"grpc_{api}_address=unix:{file}" for api, file in files.items()), f"grpc_engine={engine}")
    process, _ = place.foreground()
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}
    with Client(Endpoint(**{api: f"unix:{file}" for api, file in files.items()})) as client:
        client.register("echo.mar", initial_workers=1, synchronous=True, timeout=60)
        assert client.predict("echo", b"x", timeout=30).text == "got x"
    process.terminate()
    assert process.wait(60) == 0
    assert not any(file.exists() for file in files.values())


# ----------------------------------------------------------------------------------- stop under load


def test_requests_that_were_accepted_are_answered_before_the_server_ends(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=all")
    process, _ = place.foreground()
    server = psutil.Process(process.pid)
    with place.client() as client, ThreadPoolExecutor(8) as threads:
        wait_until_served(client, "echo")
        workers = server.children(recursive=True)
        answers = [threads.submit(client.predict, "echo", b"sleep 0.4", timeout=60) for _ in range(6)]
        wait_until(lambda: '"pending": 5' in pending(client), "one runs and five wait")
        process.terminate()
        wait_until(lambda: refused(client), "new requests are refused")
        assert [answer.result().text for answer in answers] == ["got sleep 0.4"] * 6
    assert process.wait(60) == 0
    assert not alive(workers)


def pending(client: Client) -> str:
    (model,) = client.describe("echo", timeout=30)
    return json.dumps(model["jobQueueStatus"]).replace("pendingRequests", "pending")


def refused(client: Client) -> bool:
    try:
        client.predict("echo", b"x", timeout=30)
    except CallError as error:
        assert error.code.name == "UNAVAILABLE"
        return True
    return False


def test_a_second_signal_waits_for_nobody(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=all", "drain_timeout=600")
    process, output = place.foreground()
    with place.client() as client, ThreadPoolExecutor(1) as threads:
        wait_until_served(client, "echo")
        workers = psutil.Process(process.pid).children(recursive=True)
        answer = threads.submit(client.predict, "echo", b"sleep 300", timeout=300)
        wait_until(lambda: refused_or_running(client), "the request is running")
        process.terminate()
        wait_until(lambda: "Stopping" in output.read_text(), "the drain has begun")
        process.terminate()
        assert process.wait(60) == 0
        assert isinstance(answer.exception(), CallError)
    assert not alive(workers)


def refused_or_running(client: Client) -> bool:
    """The worker is busy when a second job stays in the queue until its deadline."""
    try:
        client.predict("echo", b"x", timeout=0.3)
    except CallError as error:
        return error.code.name == "DEADLINE_EXCEEDED"
    return False


# ---------------------------------------------------------------------------------- models at the start


def test_a_model_that_cannot_be_loaded_does_not_keep_the_others_from_serving(place: Place) -> None:
    archive(place.store, "good")
    (place.store / "broken.mar").write_bytes(b"this is no archive")
    place.configure()
    process, output = place.foreground("--models", "all")
    (told,) = [line for line in output.read_text().splitlines() if "Failed to load model: broken.mar" in line]
    assert "[ERROR]" in told
    with place.client() as client:
        assert client.predict("good", b"x", timeout=30).text == "got x", "it waits for the worker"
        wait_until_served(client, "good")
    inference = f"http://127.0.0.1:{place.rest_ports[0]}"
    ready = httpx.get(f"{inference}/ready", trust_env=False, timeout=60)
    assert (ready.status_code, ready.json()["modelsNotReady"]) == (503, ["broken.mar"])
    assert httpx.get(f"{inference}/ping", trust_env=False, timeout=60).status_code == 200, (
        "as TorchServe: it is not registered"
    )
    process.terminate()
    assert process.wait(60) == 0


def test_a_server_that_says_it_is_up_has_registered_its_models_and_written_them_down(place: Place) -> None:
    """Scripts, probes and wrappers go on at this line."""
    names = ["one", "two", "three"]
    for name in names:
        archive(place.store, name)
    place.configure("load_models=all")
    process, _ = place.foreground()
    (written,) = (place.folder / "logs" / "config").glob("*-startup.cfg")
    assert '"modelCount"\\: 3' in written.read_text()
    with place.client() as client:
        assert [model["modelName"] for model in client.list_models(timeout=30)["models"]] == sorted(names)
        for name in names:
            assert client.health(f"{name}/1.0") in ("SERVING", "NOT_SERVING")
            (described,) = client.describe(name, timeout=30)
            assert [worker["status"] for worker in described["workers"]] in (["READY"], ["UNLOADING"])
            assert client.predict(name, b"x", timeout=60).text == "got x", "it waits for the worker"
    process.terminate()
    assert process.wait(60) == 0


def test_a_start_that_waits_for_a_download_is_not_up_and_can_be_stopped(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("allowed_urls=http://.*", "allow_private_urls=true")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = f"slow=http://127.0.0.1:{silent.getsockname()[1]}/slow.mar"
        flags = ("--foreground", "--model-store", "models", "--models", "echo.mar", slow)
        process, output = place.popen("--start", *flags)
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            wait_until(lambda: "Model echo/1.0 registered" in output.read_text(), "the other model is registered")
            listening = [c for c in place.server().net_connections() if c.status == psutil.CONN_LISTEN]
            assert not listening and process.poll() is None
            assert place.run("--stop") == (0, "TorchServe has stopped.\n")
    assert process.wait(60) == 0
    assert STARTED not in output.read_text()
    assert not list((place.folder / "logs").glob("config/*"))
    assert [path.name for path in place.store.iterdir()] == ["echo.mar"]


def test_models_may_be_named_on_the_command_line(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=nothing.mar")
    place.start("--models", "mine=echo.mar", "echo.mar")
    with place.client() as client:
        for name in ("mine", "echo"):
            wait_until_served(client, name)
            assert client.predict(name, b"x").data == b"got x"
    place.run("--stop")


# ----------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_the_version_is_torchserves_and_ours(place: Place, flag: str) -> None:
    assert place.run(flag) == (0, f"TorchServe Version is {TORCHSERVE_VERSION} (stoker {__version__})\n")


def test_the_settings_are_printed_with_their_sources(place: Place) -> None:
    place.configure("vmargs=-Xmx1g", "job_queue_sise=3")
    status, text = place.run("--print-config", "--models", "a.mar")
    assert status == 0
    assert f"grpc_inference_port={place.ports[0]}  # {place.folder}/config.properties, line 1" in text
    assert "load_models=a.mar  # --models" in text
    assert "Did you mean job_queue_size?" in text


def test_the_flags_of_torchserve_are_taken_with_their_short_names(place: Place) -> None:
    (place.folder / "log4j2.xml").write_text("")
    place.configure()
    text = place.start("--ncs", "--ppath", "plugins", "--dt", "--enable-model-api", "--log-config", "log4j2.xml")
    assert "plugins_path has no effect" in text
    assert "--log-config log4j2.xml has no effect" in text
    place.run("--stop")


LAUNCH = """
import sys
import ts.launcher
failed = ts.launcher.start(model_store="nowhere")
assert "--model-store directory not found" in "".join(iter(failed.get_nowait, None))
lines = ts.launcher.start(model_store="models", no_config_snapshots=True)
first = lines.get(timeout=10)
assert isinstance(first, str) and first.rstrip() != first, first
response = ts.launcher.register_model("echo", "echo.mar")
assert response.status_code == 200, response.text
assert "echo" in response.json()["status"], response.text
missing = ts.launcher.register_model("gone", "gone.mar")
assert missing.status_code == 404 and missing.json()["type"] == "ModelNotFoundException", missing.text
again = ts.launcher.register_model_with_params({"url": "echo.mar"})
assert (again.status_code, again.ok) == (409, False), again.text
try:
    again.raise_for_status()
except OSError:
    pass
else:
    raise AssertionError("no error")
for answer in (response, missing):
    assert answer.content and answer.reason and answer.headers["Content-Type"] == "application/json"
ts.launcher.stop()
while lines.get(timeout=10) is not None:
    pass
print("fine")
"""


WITHOUT_REQUESTS = "import sys; sys.modules['requests'] = None\n"


@pytest.mark.parametrize("before", ["", WITHOUT_REQUESTS])
def test_the_launcher_of_ts_starts_registers_and_stops(place: Place, before: str) -> None:
    archive(place.store, "echo")
    place.configure()
    done = subprocess.run(
        [sys.executable, "-c", before + LAUNCH],
        cwd=place.folder,
        env=place.env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("fine\n")
    assert place.run("--stop") == (0, "TorchServe is not currently running.\n")
