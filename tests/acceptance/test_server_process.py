"""The server as the operating system and its tools see it: one process that they know, nothing of it left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import namespaces
import psutil
import pytest
from processes import arguments_of, environment_of
from torchserve_kit import STARTED, TORCHSERVE, Place, archive, wait_until_served
from waiting import wait_until

JAVA_CLASS = "org.pytorch.serve.ModelServer"
"""SageMaker's toolkit and watchdogs look for this word among the arguments of every process."""

LAUNCH = """
import ts.launcher
ts.launcher.start(model_store="models", no_config_snapshots=True)
"""
START_FUNCTION = """
import sys
sys.argv = ["torchserve", "--start", "--model-store", "models"]
from ts.model_server import start
start()
print("returned")
"""


def processes_of(place: Place) -> list[psutil.Process]:
    """Everything that runs with this temp folder: launchers, the server, templates, workers."""
    return [process for process in psutil.process_iter() if environment_of(process).get("TEMP") == str(place.temp)]


def known_to_tools(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if JAVA_CLASS in arguments_of(process)]


# ----------------------------------------------------------------------------------- known by its class


STARTS = {
    "torchserve --start": [TORCHSERVE, "--start", "--model-store", "models"],
    "torchserve --foreground": [TORCHSERVE, "--start", "--foreground", "--model-store", "models"],
    "stoker serve": [TORCHSERVE.with_name("stoker"), "serve", "--model-store", "models"],
    "python -m stoker.cli.torchserve": [sys.executable, "-m", "stoker.cli.torchserve", "--model-store", "models"],
    "python -m ts.model_server": [sys.executable, "-m", "ts.model_server", "--model-store", "models"],
    "ts.launcher": [sys.executable, "-c", LAUNCH],
    "ts.model_server.start": [sys.executable, "-c", START_FUNCTION],
}


@pytest.mark.parametrize("how", STARTS)
def test_exactly_one_process_is_known_as_the_server_whatever_started_it(place: Place, how: str) -> None:
    place.configure()
    with (place.folder / "output").open("wb") as output:
        process = subprocess.Popen(
            STARTS[how], cwd=place.folder, env=place.env, stdout=output, stderr=subprocess.STDOUT
        )
    place.owns(process)
    wait_until(lambda: (place.temp / ".model_server.pid").exists(), "the server has its pid file")
    server = place.server()
    assert known_to_tools(processes_of(place)) == [server]
    if process.pid == server.pid:  # in the foreground: a supervisor knows this pid
        assert how in ("torchserve --foreground", "stoker serve")
    else:
        assert process.wait(60) == 0
    assert place.run("--stop") == (0, "TorchServe has stopped.\n")
    assert "Traceback" not in (place.folder / "output").read_text()


def test_workers_are_not_taken_for_the_server(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=all", "default_workers_per_model=2")
    place.start()
    with place.client() as client:
        wait_until_served(client, "echo")
        everything = processes_of(place)
        assert len(everything) >= 3
        assert known_to_tools(everything) == [place.server()]
        assert TORCHSERVE.name in " ".join(place.server().cmdline())
    place.run("--stop")


def test_who_found_the_server_by_its_class_ends_it_with_a_signal_and_waits_for_it(place: Place) -> None:
    """As SageMaker's toolkit does when its container is stopped."""
    place.configure()
    place.start()
    (server,) = known_to_tools(processes_of(place))
    server.terminate()
    server.wait(60)
    assert list(place.temp.iterdir()) == []


def test_a_module_of_the_current_folder_does_not_stand_in_for_one_of_the_server(place: Place) -> None:
    for name in ("yaml.py", "uvloop.py", "logging.py"):
        (place.folder / name).write_text("raise SystemExit('imported from the current folder')")
    place.configure()
    place.start()
    status, text = place.run("--stop")
    assert status == 0
    assert "imported from" not in text


def start_as_first_process(place: Place) -> subprocess.Popen[bytes]:
    prefix = namespaces.unshare("--pid", "--fork", "--mount-proc", "--kill-child")
    place.configure()
    with (place.folder / "output").open("wb") as output:
        outside = subprocess.Popen(
            [*prefix, TORCHSERVE, "--start", "--foreground", "--model-store", "models"],
            cwd=place.folder,
            env=place.env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    place.owns(outside)
    return outside


def test_as_first_process_of_a_container_it_is_known_and_ends_on_sigterm(place: Place) -> None:
    outside = start_as_first_process(place)
    wait_until(lambda: STARTED in (place.folder / "output").read_text(), "the server starts")
    assert (place.temp / ".model_server.pid").read_text() == "1\n"
    (server,) = known_to_tools(processes_of(place))
    assert server.parent() == psutil.Process(outside.pid)
    server.terminate()
    assert outside.wait(60) == 0
    assert list(place.temp.iterdir()) == []


def test_a_sigterm_to_the_first_process_of_a_container_is_not_lost_before_the_server_listens(place: Place) -> None:
    """The kernel drops what PID 1 has no handler for."""
    outside = start_as_first_process(place)
    wait_until(lambda: bool(known_to_tools(psutil.Process(outside.pid).children())), "the process becomes the server")
    (server,) = known_to_tools(psutil.Process(outside.pid).children())
    server.terminate()
    assert outside.wait(60) == 0
    assert list(place.temp.iterdir()) == []


# ------------------------------------------------------------------------------------------ pid file, stop


def test_the_pid_file_is_what_kill_takes(place: Place) -> None:
    place.configure()
    place.start()
    server = place.server()
    subprocess.run(["sh", "-c", f"kill $(cat {place.temp}/.model_server.pid)"], check=True, timeout=30)
    psutil.wait_procs([server], timeout=60)
    assert list(place.temp.iterdir()) == []


def test_a_stop_leaves_the_keys_of_another_server_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Place(tmp_path / "one"), Place(tmp_path / "two")
    try:
        for place in (one, two):
            (place.folder / "config.properties").write_text("\n".join(place.port_lines))
            place.start()
        keys = (one.folder / "key_file.json").read_text()
        done = subprocess.run([TORCHSERVE, "--stop"], cwd=one.folder, env=two.env, capture_output=True, timeout=90)
        assert done.stdout == b"TorchServe has stopped.\n"
        assert (one.folder / "key_file.json").read_text() == keys
        assert not (two.folder / "key_file.json").exists()
        assert one.run("--stop") == (0, "TorchServe has stopped.\n")
        assert not (one.folder / "key_file.json").exists()
    finally:
        one.close()
        two.close()


def test_a_stop_works_in_a_folder_that_cannot_be_written(place: Place, tmp_path: Path) -> None:
    prefix = namespaces.unshare("--mount")
    (tmp_path / "read-only").mkdir()
    (tmp_path / "read-only" / "key_file.json").write_text("{}")
    script = 'mount --bind . . && mount -o remount,ro,bind . . && cd "$PWD" && ! touch x 2>/dev/null && exec "$@"'
    place.configure()
    place.start()
    done = subprocess.run(
        [*prefix, "sh", "-c", script, "sh", TORCHSERVE, "--stop"],
        cwd=tmp_path / "read-only",
        env=place.env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "TorchServe has stopped.\n", "")
    assert (tmp_path / "read-only" / "key_file.json").exists()


# ------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_while_it_starts_leave_nothing_behind(place: Place, number: signal.Signals) -> None:
    place.configure()
    process, output = place.popen("--start", "--foreground", "--model-store", "models")
    wait_until(lambda: any(place.temp.iterdir()), "the start has begun")
    process.send_signal(number)
    process.send_signal(number)
    assert process.wait(60) == 0
    assert "Traceback" not in output.read_text()
    assert list(place.temp.iterdir()) == []


def test_a_background_server_that_is_stopped_while_it_starts_has_not_started(place: Place) -> None:
    place.configure()
    launcher, output = place.popen("--start", "--model-store", "models")
    wait_until(lambda: any(place.temp.iterdir()), "the start has begun")
    (server,) = known_to_tools(processes_of(place))
    server.terminate()
    status = launcher.wait(60)
    assert (status == 0) == (STARTED in output.read_text())
    psutil.wait_procs([server], timeout=60)
    assert list(place.temp.iterdir()) == []


# -------------------------------------------------------------------------------- users of one temp folder


def test_the_next_start_sweeps_what_a_killed_server_left(place: Place) -> None:
    archive(place.store, "echo")
    place.configure("load_models=all")
    place.start()
    with place.client() as client:
        wait_until_served(client, "echo")
    left = set(place.temp.glob("stoker-*"))
    assert left
    place.server().kill()
    wait_until(lambda: not known_to_tools(processes_of(place)), "the server is gone")
    assert "Removing orphan pid file.\n" in place.start()
    assert left.isdisjoint(place.temp.iterdir())
    place.run("--stop")
    assert list(place.temp.iterdir()) == []


SECOND = 23456
USERS = """
set -u
{loopback}
{readable}
chmod 1777 $TEMP; chmod 777 .
start() {{
  {torchserve} --start --ncs --model-store models --ts-config config.properties > output-$1 2>&1
  echo "$1 start $?"
}}
stop() {{ echo "$1 $({torchserve} --stop 2>&1)"; }}
first_start() {{ LOG_LOCATION=first METRICS_LOCATION=first start first; }}
second() {{ {second} {torchserve} "$@"; }}
second_start() {{
  mkdir -p -m 777 second; chmod 777 second
  LOG_LOCATION=second METRICS_LOCATION=second second --start --ncs --model-store models --ts-config config.properties \\
    > output-second 2>&1
  echo "second start $?"
}}
second_stop() {{ echo "second $(second --stop 2>&1)"; }}
"""


def run_as_users(place: Place, script: str) -> list[str]:
    second = " ".join(namespaces.as_user(SECOND))
    prefix = namespaces.unshare(*namespaces.IN_CONTAINER)
    place.configure()
    head = USERS.format(
        loopback=namespaces.LOOPBACK,
        readable=namespaces.readable_installation(),
        torchserve=TORCHSERVE,
        second=second,
    )
    # pytest's folders are closed to others: show this one elsewhere.
    for folder in (place.folder, *place.folder.parents):
        if not folder.stat().st_mode & 0o001:
            head = f"mount --bind {place.folder} /mnt\ncd /mnt\nexport TEMP=/mnt/tmp TMPDIR=/mnt/tmp\n" + head
            break
    done = subprocess.run(
        [*prefix, "bash", "-c", head + script],
        cwd=place.folder,
        env={**place.env, "TMPDIR": str(place.temp)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.stderr == "", done.stderr
    outputs = "\n".join(path.read_text() for path in place.folder.glob("output-*"))
    assert "Traceback" not in outputs
    return done.stdout.splitlines()


def test_a_second_user_starts_where_the_first_has_stopped(place: Place) -> None:
    lines = run_as_users(place, "first_start\nstop first\nls -A $TEMP\nsecond_start\nsecond_stop\nls -A $TEMP\n")
    assert lines == [
        "first start 0",
        "first TorchServe has stopped.",
        "second start 0",
        "second TorchServe has stopped.",
    ]


def test_users_of_one_temp_folder_harm_each_other_neither_by_mishap_nor_by_intent(place: Place) -> None:
    """The first server was killed and left everything; names of the second user's are taken by traps."""
    traps = (f".model_server-{SECOND}", f"stoker-{SECOND}-0123456789abcdef")
    script = f"""
first_start
kill -9 $(cat $TEMP/.model_server.pid)
while kill -0 $(cat $TEMP/.model_server.pid) 2>/dev/null; do sleep 0.1; done
ln -s $PWD/models $TEMP/{traps[0]}
mkdir -m 700 $TEMP/{traps[1]}
before=$(ls -A $TEMP)
second_start
grep -c "cannot be replaced, so it does not name this server" output-second
second_stop
test "$before" = "$(ls -A $TEMP)" && echo "everything of the first is there"
ls -A models
first_start
head -1 output-first
second_start
cat output-second
second_stop | sed 's/process [0-9]*/process N/'
stop first
second_start
stop first
ls -A $TEMP
"""
    assert run_as_users(place, script) == [
        "first start 0",
        "second start 0",
        "1",
        "second TorchServe has stopped.",
        "everything of the first is there",
        "first start 0",
        "Removing orphan pid file.",
        "second start 1",
        "TorchServe is already running, please use torchserve --stop to stop TorchServe. "
        "It is another user's: set TEMP to a folder of your own.",
        "second TorchServe (process N) belongs to another user.",
        "first TorchServe has stopped.",
        "second start 0",
        "first TorchServe has stopped.",  # root may stop everybody's
        *traps,
    ]
