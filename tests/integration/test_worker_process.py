"""A real worker process: its life, its end, and handlers that misbehave."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_driver import SUPPORT, Start, WorkerProcess, handler, loaded

from stoker.ipc import frames
from stoker.ipc.to_server import Failure, Loaded, LoadFailed
from stoker.ipc.to_worker import Stop

ECHO = """
def handle(data, context):
    if data is None:
        return None
    return [bytes(row["data"]) for row in data]
"""


@pytest.fixture
def worker(tmp_path: Path) -> Start:
    return lambda source, **load: WorkerProcess(tmp_path, source, **load)


# ------------------------------------------------------------------------------------------------------ life


def test_a_worker_loads_answers_and_stops(worker: Start) -> None:
    with worker(ECHO) as process:
        answer = process.load()
        assert isinstance(answer, Loaded)
        assert not answer.torch
        assert process.ask(1, b"a", b"b") == [b"a", b"b"]
        assert process.marker() == 1
        assert process.stop() == 0


def test_large_requests_and_results_pass_whole(worker: Start) -> None:
    value = os.urandom(3 << 20)
    with worker(ECHO) as process:
        loaded(process)
        assert process.ask(1, value, b"small", value[::-1]) == [value, b"small", value[::-1]]


def test_results_are_limited_one_by_one_and_the_worker_lives(worker: Start) -> None:
    with worker(ECHO, max_response_bytes=1000) as process:
        loaded(process)
        large, small = process.ask(1, b"x" * 1001, b"x" * 1000)
        assert (large.kind, small) == ("too_large", b"x" * 1000)
        assert process.ask(2, b"on") == [b"on"]


def test_stop_and_end_of_file_before_loading_end_the_worker_quietly(worker: Start) -> None:
    with worker(ECHO) as process:
        process.send(Stop())
        assert process.finish()[0] == 0
    with worker(ECHO) as process:
        process.socket.close()
        assert process.finish()[0::2] == (0, "")


def test_end_of_file_ends_an_idle_and_a_busy_worker(worker: Start) -> None:
    with worker(ECHO) as process:
        loaded(process)
        process.socket.close()
        assert process.finish() == (0, "", "")
    busy = handler("""
        from ts.handler_utils.utils import send_intermediate_predict_response
        while True:
            send_intermediate_predict_response(["x"], context.request_ids, "", 200, context)
    """)
    with worker(busy) as process:
        loaded(process)
        process.predict(1, b"a")
        process.items()
        process.socket.close()
        assert process.finish()[0] == 0


def test_garbage_from_the_peer_ends_the_worker_with_a_reason(worker: Start) -> None:
    with worker(ECHO) as process:
        process.socket.sendall(frames.PREFIX.pack(4, 0) + b"\xff\xff\xff\xff")
        code, _, err = process.finish()
        assert code == 1
        assert "not a message for a worker" in err


def test_a_worker_dies_with_its_server(tmp_path: Path) -> None:
    """Also when it is deep in a handler that never looks at the socket."""
    (tmp_path / "handler.py").write_text(handler("print('begun', flush=True)\nwhile True: pass"))
    server = tmp_path / "server.py"
    server.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from worker_driver import WorkerProcess
        process = WorkerProcess(Path(sys.argv[2])).__enter__()
        process.load()
        process.predict(1, b"x")
        process.process.stdout.readline()
        print(process.process.pid, flush=True)
        time.sleep(60)
        """)
    )
    command = [sys.executable, str(server), str(SUPPORT), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker_fd = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        import select

        assert select.select([worker_fd], [], [], 30)[0], "the worker outlived its server"
    finally:
        os.close(worker_fd)


# ------------------------------------------------------------------------------------------------- bad loads


@pytest.mark.parametrize(
    ("source", "number", "text"),
    [
        ("import not_installed_anywhere", 500, "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("def handle(d, c): raise MemoryError()", 507, "MemoryError: "),
        ("def handle(d, c): raise RuntimeError('CUDA out of memory')", 507, "RuntimeError: CUDA out of memory"),
        ("def handle(d, c): raise RuntimeError('x')", 500, "RuntimeError: x"),
        ("import asyncio\ndef handle(d, c): raise asyncio.CancelledError('late')", 500, "CancelledError: late"),
        ("def handle(d, c): raise BaseException('its own')", 500, "BaseException: its own"),
        (
            "def handle(d, c): open(c.system_properties['model_dir'] + '/w.pt')",
            500,
            "No such file or directory: 'w.pt'",
        ),
        ("def handle(d, c) raise", 500, "SyntaxError"),
        ("x = 1", 500, "Expected only one class"),
    ],
)
def test_a_handler_that_cannot_be_loaded_says_why_and_the_worker_exits_with_1(
    worker: Start, tmp_path: Path, source: str, number: int, text: str
) -> None:
    with worker(source) as process:
        answer = process.load()
        assert isinstance(answer, LoadFailed)
        assert answer.number == number
        assert text.strip() in answer.message
        assert str(tmp_path) not in answer.message
        assert "\n" not in answer.message
        code, _, err = process.finish()
        assert code == 1
        assert answer.message.partition(":")[0] in err  # with the model's own lines, where it has any
        assert "stoker/worker" not in err


def test_sys_exit_while_loading_is_a_failed_load_with_that_exit_code(worker: Start) -> None:
    with worker("def handle(d, c): raise SystemExit(7)") as process:
        answer = process.load()
        assert isinstance(answer, LoadFailed)
        assert "SystemExit: 7" in answer.message
        assert process.finish()[0] == 7


# ------------------------------------------------------------------------------------------- unruly handlers


def test_prints_and_logs_of_handlers_come_out_of_their_pipes(worker: Start) -> None:
    source = handler("""
        import logging
        print("printed")
        print("complained", file=sys.stderr)
        logging.getLogger("mine").info("logged")
        return [text]
    """)
    with worker(source) as process:
        loaded(process)
        assert process.ask(1, b"a") == [b"a"]
        process.send(Stop())
        _, out, err = process.finish()
    assert out == "printed\nlogged\n"
    assert err == "complained\n"


def test_a_mistake_in_the_handler_costs_its_batch_only(worker: Start) -> None:
    with worker(handler("return [1 / int(text)]")) as process:
        loaded(process)
        assert process.ask(1, b"0") == [Failure("raised", 503, "Prediction failed")]
        assert process.ask(2, b"2") == [b"0.5"]
        process.send(Stop())
        assert "ZeroDivisionError" in process.finish()[2]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children die of SIGINT also where a shell has started the tests in the background, and so has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("os._exit(5)", 5),
        ("sys.exit(6)", 6),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
    ],
)
def test_a_handler_that_ends_the_process_ends_it_with_that_status_and_the_marker_names_its_batch(
    worker: Start, interruptible: None, body: str, status: int
) -> None:
    with worker(handler(body)) as process:
        loaded(process)
        process.predict(7, b"a")
        with contextlib.suppress(BrokenPipeError):  # it may be gone already
            process.predict(8, b"never begun")
        with pytest.raises((EOFError, ConnectionResetError)):
            process.receive()
        assert process.finish()[0] == status
        assert process.marker() == 7


def test_results_finished_before_sys_exit_are_still_sent(worker: Start) -> None:
    source = handler("if text == 'exit': sys.exit(3)\nreturn [text]")
    with worker(source) as process:
        loaded(process)
        process.predict(1, b"a")
        process.predict(2, b"b")
        process.predict(3, b"exit")
        assert [process.items(), process.items()] == [[b"a"], [b"b"]]
        assert process.finish()[0] == 3


FORKS = """
if text == "fork and return":
    if os.fork() == 0:
        return ["from the child"]
if text == "fork and exit":
    pid = os.fork()
    if pid == 0:
        sys.exit(9)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
if text == "fork and raise":
    pid = os.fork()
    if pid == 0:
        raise ValueError
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
if text == "fork and stream":
    from ts.handler_utils.utils import send_intermediate_predict_response
    pid = os.fork()
    if pid == 0:
        try:
            send_intermediate_predict_response(["child"], context.request_ids, "", 200, context)
        except RuntimeError:
            os._exit(4)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
if text == "multiprocessing":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return [pool.map(abs, [-1, -2])]
return [text]
"""


def test_only_the_worker_itself_answers_when_its_handler_forks(worker: Start) -> None:
    with worker(handler(FORKS)) as process:
        loaded(process)
        assert process.ask(1, b"fork and return") == [b"fork and return"]
        assert process.ask(2, b"fork and exit") == [b"9"]
        assert process.ask(3, b"fork and raise") == [b"1"]
        assert process.ask(4, b"fork and stream") == [b"4"]
        assert process.ask(5, b"multiprocessing") == [b"[\n  1,\n  2\n]"]
        assert process.ask(6, b"plain") == [b"plain"]
        assert process.stop() == 0


def test_results_that_wait_to_be_written_are_not_written_again_by_a_forked_child(worker: Start) -> None:
    with worker(handler(FORKS)) as process:
        loaded(process)
        for batch_id in range(1, 21):
            process.predict(batch_id, b"fork and return" if batch_id % 5 == 0 else b"plain")
        answers = [process.receive()[0].batch_id for _ in range(20)]  # type: ignore[union-attr]
        assert answers == list(range(1, 21))
        assert process.stop() == 0
        with pytest.raises(EOFError):
            process.receive()


def test_programs_that_a_handler_starts_do_not_inherit_the_socket(worker: Start) -> None:
    source = handler("""
        code = "import os; print(sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') " \\
               "if os.path.exists(f'/proc/self/fd/{n}')))"
        out = subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True).stdout
        return [out]
    """)
    with worker(source) as process:
        loaded(process)
        (out,) = process.ask(1, b"x")
        assert b"pipe" in out
        assert b"socket" not in out
        assert b"memfd" not in out


def test_threads_cwd_signal_handlers_and_closed_streams_do_no_harm(worker: Start) -> None:
    source = handler("""
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        os.chdir("/")
        signal.signal(signal.SIGUSR1, lambda *a: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGUSR1)
        sys.stdout.close()
        sys.stderr.close()
        if text == "fail":
            raise ValueError(text)
        return [text]
    """)
    with worker(source) as process:
        loaded(process)
        assert process.ask(1, b"a") == [b"a"]
        assert process.ask(2, b"fail") == [Failure("raised", 503, "Prediction failed")]
        assert process.ask(3, b"c") == [b"c"]


def test_standard_input_is_empty(worker: Start) -> None:
    with worker(handler("return [sys.stdin.read()]")) as process:
        loaded(process)
        assert process.ask(1, b"a") == [b""]


# --------------------------------------------------------------------------------------------------- imports


def test_the_handlers_interface_never_imports_torch() -> None:
    names = "ts.context", "ts.service", "ts.model_loader", "ts.protocol.otf_message_handler", "ts.handler_utils.utils"
    code = f"import sys\nfor name in {names}: __import__(name)\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_started_by_hand_without_its_arguments_says_what_is_missing() -> None:
    command: list[Any] = [sys.executable, "-m", "stoker.worker.main"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 2
    assert "--socket-fd" in run.stderr


def test_a_socket_that_is_already_closed_on_the_other_side_is_no_crash(worker: Start) -> None:
    with worker(ECHO) as process:
        process.socket.shutdown(socket.SHUT_RDWR)
        assert process.finish()[0::2] == (0, "")
