"""A real worker process whose handler streams: parts in order, held for a moment only, cancelled, forked."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from worker_driver import Start, WorkerProcess, handler, loaded

from stoker.ipc.to_worker import Cancel


@pytest.fixture
def worker(tmp_path: Path) -> Start:
    return lambda source, **load: WorkerProcess(tmp_path, source, **load)


SEED_HANDLER = """
from ts.protocol.otf_message_handler import send_intermediate_predict_response

def handle(data, context):
    if type(data) is list:
        for i in range (3):
            send_intermediate_predict_response(["intermediate_response"], context.request_ids, "Intermediate Prediction success", 200, context)
        return ["hello world "]
"""  # noqa: E501 - word for word as TorchServe's documentation has it


def test_the_streaming_handler_of_torchserves_documentation_streams_three_parts_and_the_last(worker: Start) -> None:
    with worker(SEED_HANDLER) as process:
        loaded(process)
        process.predict(1, b"x")
        assert [process.items() for _ in range(4)] == [[b"intermediate_response"]] * 3 + [[b"hello world "]]
        assert process.stop() == 0


def test_a_handler_that_asks_learns_of_a_cancellation(worker: Start) -> None:
    source = handler("""
        print("begun")
        while not context.is_cancelled(0):
            pass
        print("saw it")
        return ["unwanted"]
    """)
    with worker(source) as process:
        loaded(process)
        process.predict(1, b"x")
        assert process.process.stdout is not None
        assert process.process.stdout.readline() == b"begun\n"
        process.send(Cancel(1, 0))
        assert process.items() == [None]
        assert process.process.stdout.readline() == b"saw it\n"


def test_an_endless_stream_that_nobody_reads_waits_and_ends_when_it_is_cancelled(worker: Start) -> None:
    source = handler("""
        from ts.handler_utils.utils import send_intermediate_predict_response
        if text == "stream":
            while True:
                send_intermediate_predict_response(["x" * 1000], context.request_ids, "", 200, context)
        return [text]
    """)
    with worker(source, stream_window_bytes=10_000) as process:
        loaded(process)
        process.predict(1, b"stream")
        process.predict(2, b"next")
        assert [process.items() for _ in range(10)] == [[b"x" * 1000]] * 10
        process.send(Cancel(1, 0))
        assert process.items() == [None]
        assert process.items() == [b"next"]


SAY = """
from ts.handler_utils.utils import send_intermediate_predict_response
def say(*parts):
    for part in parts:
        send_intermediate_predict_response([part], context.request_ids, "", 200, context)
"""


def streaming_handler(body: str) -> str:
    """`handler` with a function ``say`` that sends parts, one right after the other."""
    return handler(SAY + textwrap.dedent(body))


@pytest.mark.parametrize("computes", ["pass", "sum(range(100_000))", "time.sleep(0.01)"], ids=["python", "c", "sleep"])
def test_parts_of_a_dense_stream_leave_while_the_handler_computes(worker: Start, computes: str) -> None:
    """They are held for a moment only, whatever the handler does: here until it is cancelled."""
    source = streaming_handler(f"""
        say(*"abcdefghij")
        while not context.is_cancelled(0):
            {computes}
        return ["unwanted"]
    """)
    with worker(source) as process:
        loaded(process)
        process.predict(1, b"x")
        assert [process.items() for _ in range(10)] == [[letter.encode()] for letter in "abcdefghij"]
        process.send(Cancel(1, 0))
        assert process.items() == [None]


def test_dense_parts_of_several_threads_all_arrive_before_the_result(worker: Start) -> None:
    source = streaming_handler("""
        names = "abcd"
        threads = [threading.Thread(target=say, args=[name + str(n) for n in range(500)]) for name in names]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return ["end"]
    """)
    with worker(source) as process:
        loaded(process)
        process.predict(1, b"x")
        parts = [process.items()[0] for _ in range(2000)]
        for name in b"abcd":
            assert [part for part in parts if part[0] == name] == [b"%c%d" % (name, n) for n in range(500)]
        assert process.items() == [b"end"]


def test_a_handler_that_forks_in_a_dense_stream_goes_on_alone(worker: Start) -> None:
    """The copy finds a lock that a thread of the worker held: it ends all the same, and says nothing."""
    source = streaming_handler("""
        for n in range(30):
            say(*"abcdefgh")
            pid = os.fork()
            if pid == 0:
                return ["of the copy"]
            os.waitpid(pid, 0)
        return ["end"]
    """)
    with worker(source) as process:
        loaded(process)
        process.predict(1, b"x")
        assert b"".join(process.items()[0] for _ in range(240)) == b"abcdefgh" * 30
        assert process.items() == [b"end"]


def test_a_worker_whose_server_is_gone_in_the_middle_of_a_dense_stream_ends(worker: Start) -> None:
    source = streaming_handler("""
        while True:
            say(*"abcdefghij")
    """)
    with worker(source) as process:
        loaded(process)
        process.predict(1, b"x")
        process.items()
        process.socket.close()
        assert process.process.wait(30) == 0
