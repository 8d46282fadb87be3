"""Parts reach every request of the batch, no faster than they are read, and stop when nobody reads."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
from worker_rig import Rig, part

from stoker.ipc.to_server import Failure, Meta, Results
from stoker.ipc.to_worker import Cancel, Grant
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled, PredictionException
from stoker.worker.streaming import send_intermediate_predict_response as send

RIG = {"window_bytes": 10, "max_response_bytes": 100}


def run(rig: Rig, script: Callable[[Context], Any], *values: bytes) -> list[tuple[bool, list[Any]]]:
    """Runs one batch whose handler is ``script``; what the server got: (is a part, items)."""
    rig.predict(*(values or (b"a",)))
    rig.run(lambda data, context: script(context))
    return [(answer.part, answer.items) for answer in rig.answers()]


def test_parts_come_before_the_result_and_each_request_gets_its_own(rig: Rig) -> None:
    def script(context: Context) -> Any:
        part(context, "a1", b"b1")
        part(context, {"a": 2}, "b2")
        return ["a3", "b3"]

    assert run(rig, script, b"x", b"y") == [
        (True, [b"a1", b"b1"]),
        (True, [b'{\n  "a": 2\n}', b"b2"]),
        (False, [b"a3", b"b3"]),
    ]


def test_a_part_leaves_at_once_and_takes_earlier_results_along(rig: Rig) -> None:
    seen: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        if bytes(data[0]["data"]) == b"stream":
            part(context, "now")
            seen.append(len(rig.answers()))
        return [b""]

    rig.predict(b"plain")
    rig.predict(b"stream")
    rig.run(handle)
    assert seen == [2]


def test_a_stream_waits_when_its_window_is_full_and_goes_on_with_a_grant(rig: Rig) -> None:
    received: list[bytes] = []

    def consumer() -> None:
        message: Any = None
        while not isinstance(message, Results):
            message, payload = rig.server.receive()
            received.append(payload)
            rig.server.send(Grant(1, 0, len(payload)))

    def script(context: Context) -> Any:
        for _ in range(20):
            part(context, "12345678")
            batch = rig.inbox.current
            assert batch is not None
            assert batch.unread[0] <= 10 + 8
        return ["end"]

    reader = threading.Thread(target=consumer)
    reader.start()
    rig.predict(b"a")
    rig.run(lambda data, context: script(context))
    reader.join()
    assert b"".join(received) == b"12345678" * 20 + b"end"


def test_no_waiting_while_one_job_of_the_batch_still_has_credit(rig: Rig) -> None:
    """A stalled reader must not slow down its neighbours."""

    def script(context: Context) -> Any:
        for _ in range(5):
            part(context, "12345678", "12345678")
            rig.server.send(Grant(1, 1, 8))
            rig.time.now += 1
        return ["", ""]

    assert len(run(rig, script, b"stalled", b"reads")) == 6


def test_batches_that_arrive_while_a_stream_waits_for_credit_are_kept(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        if bytes(data[0]["data"]) == b"stream":
            part(context, "12345678901")
            rig.predict(b"later")
            rig.server.send(Grant(1, 0, 11))
            part(context, "x")
        return [bytes(data[0]["data"])]

    rig.predict(b"stream")
    rig.predict(b"sooner")
    loop = rig.loop(handle)
    for _ in range(3):
        batch = loop._next()
        assert batch is not None
        loop._run(batch)
    rig.connection.flush()
    assert [a.items for a in rig.answers() if not a.part] == [[b"stream"], [b"sooner"], [b"later"]]


def test_a_batch_that_nobody_wants_ends_at_its_next_part_though_the_handler_catches_exceptions(rig: Rig) -> None:
    sent: list[int] = []

    def script(context: Context) -> Any:
        for number in range(100):
            try:
                part(context, "x", "y")
            except Exception:
                pass
            sent.append(number)
            rig.time.now += 1
            if number == 1:
                rig.server.send(Cancel(1, 0))
                rig.server.send(Cancel(1, 1))
        return ["", ""]

    answers = run(rig, script, b"a", b"b")
    assert sent == [0, 1]
    assert answers[-1] == (False, [None, None])


def test_a_cancellation_ends_a_stream_that_waits_for_credit(rig: Rig) -> None:
    def script(context: Context) -> Any:
        part(context, "12345678901")
        rig.server.send(Cancel(1, 0))
        part(context, "never sent")
        raise AssertionError("the handler goes on")

    assert run(rig, script) == [(True, [b"12345678901"]), (False, [None])]


def test_a_cancelled_job_gets_no_more_parts_and_its_neighbour_does(rig: Rig) -> None:
    def script(context: Context) -> Any:
        rig.server.send(Cancel(1, 0))
        rig.time.now += 1
        part(context, "a", "b")
        return ["a", "b"]

    assert run(rig, script, b"x", b"y") == [(True, [None, b"b"]), (False, [None, b"b"])]


def test_parts_of_a_batch_without_its_dropped_jobs_name_the_right_jobs(rig: Rig) -> None:
    rig.predict(b"late", b"y", deadlines={0: 1.0})
    rig.run(lambda data, context: part(context, "p") or ["r"])
    assert [a.items for a in rig.answers()] == [[None, b"p"], [None, b"r"]]


def test_a_part_for_some_requests_only_leaves_the_others_alone(rig: Rig) -> None:
    def script(context: Context) -> Any:
        assert context.request_ids is not None
        send(["a", "b"], {1: context.request_ids[1]}, "", 200, context)
        return ["", ""]

    assert run(rig, script, b"x", b"y")[0] == (True, [None, b"b"])


def test_a_part_that_comes_after_its_batch_was_answered_is_dropped(rig: Rig) -> None:
    ids: list[Any] = []

    def handle(data: Any, context: Context) -> Any:
        ids.append(context.request_ids)
        if len(ids) == 2:
            send(["late"], ids[0], "", 200, context)
        return [b"r"]

    rig.predict(b"a")
    rig.predict(b"b")
    rig.run(handle)
    send(["later"], ids[1], "", 200, rig.context)
    assert [(a.part, a.items) for a in rig.answers()] == [(False, [b"r"]), (False, [b"r"])]


def test_threads_of_a_handler_may_send_parts_at_the_same_time() -> None:
    rig = Rig()
    try:

        def script(context: Context) -> Any:
            threads = [threading.Thread(target=lambda: [part(context, "x" * 50) for _ in range(50)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return ["end"]

        answers = run(rig, script)
    finally:
        rig.close()
    assert answers == [(True, [b"x" * 50])] * 200 + [(False, [b"end"])]


BROKEN = [
    ("no list", "text", Failure("output", 503, "Invalid model predict output")),
    ("too few", ["a"], Failure("output", 503, "number of batch response mismatched")),
    ("no bytes", ["a", object()], Failure("output", 503, "Unsupported model output data type.")),
]


@pytest.mark.parametrize(("ret", "failure"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_part_that_breaks_a_rule_fails_the_batch_like_a_result_would(rig: Rig, ret: Any, failure: Failure) -> None:
    def script(context: Context) -> Any:
        assert context.request_ids is not None
        send(ret, context.request_ids, "", 200, context)
        return ["", ""]

    assert run(rig, script, b"x", b"y") == [(False, [failure, failure])]


def test_an_item_of_a_part_that_is_too_large_or_refused_ends_its_own_stream_only(rig: Rig) -> None:
    def script(context: Context) -> Any:
        part(context, "x" * 101, PredictionException("no", 404), "c1")
        part(context, "a2", "b2", "c2")
        return ["a3", "b3", "c3"]

    first, second, last = run(rig, script, b"x", b"y", b"z")
    assert first == (True, [None, None, b"c1"])
    assert second == (True, [None, None, b"c2"])
    assert last[1][0].kind == "too_large"
    assert last[1][1:] == [Failure("refused", 404, "no"), b"c3"]


def test_a_part_with_an_error_code_ends_the_streams_with_that_error(rig: Rig) -> None:
    def script(context: Context) -> Any:
        assert context.request_ids is not None
        send(["x"], context.request_ids, "went wrong", 500, context)
        return ["ignored"]

    assert run(rig, script) == [(False, [Failure("refused", 500, "went wrong")])]


def test_parts_carry_status_and_headers_that_were_set_before(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.set_response_header(0, "k", "v")
        part(context, "x")
        return ["y"]

    rig.predict(b"a")
    rig.run(handle)
    assert [a.metas for a in rig.answers()] == [{0: Meta(200, "", {"k": "v"})}] * 2


def test_other_ranks_send_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run(rig, lambda context: part(context, "x") or ["y"]) == [(False, [b"y"])]


def test_a_context_outside_a_worker_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="cl_socket"):
        send(["x"], {0: "id"}, "", 200, Context("m", "", None, 1, None, ""))


def test_a_context_with_a_foreign_socket_gets_the_classic_bytes() -> None:
    class Recorder:
        sent = b""

        def sendall(self, data: bytes) -> None:
            self.sent += bytes(data)

    context = Context("m", "", None, 1, None, "")
    context.cl_socket = Recorder()
    send(["part"], {0: "id"}, "Intermediate", 200, context)
    assert b"ts_stream_next" in context.cl_socket.sent
    assert b"part" in context.cl_socket.sent


def test_a_copied_context_streams_to_the_same_server(rig: Rig) -> None:
    def script(context: Context) -> Any:
        part(copy.deepcopy(context), "x")
        return ["y"]

    assert run(rig, script)[0] == (True, [b"x"])


def test_a_forked_process_cannot_send_parts(rig: Rig) -> None:
    rig.context.cl_socket = rig.sender
    rig.connection.abandon()
    with pytest.raises(RuntimeError, match="forked"):
        send(["x"], {0: "id"}, "", 200, rig.context)


def test_job_cancelled_is_no_ordinary_exception() -> None:
    assert not issubclass(JobCancelled, Exception)


def test_a_thread_that_asks_too_late_leaves_the_connection_to_the_loop(rig: Rig) -> None:
    """The loop writes the answer without the lock, so a second writer could send it twice."""

    class Ending:
        """Ends the batch between the thread's look at it and the lock."""

        def acquire(self, *, blocking: bool) -> bool:
            rig.inbox.current = None
            return lock.acquire(blocking=blocking)

        def release(self) -> None:
            lock.release()

    def handle(data: Any, context: Context) -> Any:
        if bytes(data[0]["data"]) == b"first":
            return ["held"]
        batch = rig.inbox.current
        rig.inbox.lock = Ending()  # type: ignore[assignment]
        context.is_cancelled(0)
        rig.inbox.lock, rig.inbox.current = lock, batch
        seen.extend(rig.answers())
        return ["end"]

    lock, seen = rig.inbox.lock, list[Any]()
    rig.predict(b"first")
    rig.predict(b"asks")
    rig.run(handle)
    assert not seen
    assert [answer.items for answer in rig.answers()] == [[b"held"], [b"end"]]
