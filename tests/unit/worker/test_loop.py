"""Batches run in order, each is answered exactly once, and what nobody wants any more is not run."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from worker_rig import Rig

from stoker.ipc import frames
from stoker.ipc.to_server import Failure, Meta
from stoker.ipc.to_worker import Cancel, Grant, JobHeader, Load, Predict, Stop
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled, PredictionException, ServerGone

Handle = Callable[[Any, Context], Any]

pytestmark = pytest.mark.usefixtures("no_flusher")


def echo(data: Any, context: Context) -> list[bytes]:
    return [bytes(row["data"]) for row in data]


def test_each_batch_gets_its_own_answers_in_the_order_sent(rig: Rig) -> None:
    rig.predict(b"a")
    rig.predict(b"b", b"cc", b"")
    rig.run(echo)
    assert [(a.batch_id, a.items) for a in rig.answers()] == [(1, [b"a"]), (2, [b"b", b"cc", b""])]


@pytest.mark.parametrize("values", [(bytes(70_000), b""), (bytes(70_000), b"", b"")])
def test_a_large_value_may_have_empty_ones_behind_it(rig: Rig, values: tuple[bytes, ...]) -> None:
    rig.predict(*values)
    rig.run(echo)
    assert [answer.items for answer in rig.answers()] == [list(values)]


@pytest.mark.parametrize("values", [(b"", bytes(70_000)), (bytes(70_000), b"x"), (b"x", bytes(70_000))])
def test_a_large_value_may_have_others_before_it_and_behind_it(rig: Rig, values: tuple[bytes, ...]) -> None:
    rig.predict(*values)
    rig.run(echo)
    assert [answer.items for answer in rig.answers()] == [list(values)]


def test_many_jobs_in_one_read_are_still_one_row_per_call_and_one_write_back(rig: Rig) -> None:
    calls: list[int] = []
    writes: list[int] = []
    write = rig.connection._write
    rig.connection._write = lambda buffers: (writes.append(len(buffers)), write(buffers))  # type: ignore[assignment,return-value]

    def handle(data: Any, context: Context) -> Any:
        calls.append(len(data))
        return echo(data, context)

    for value in range(30):
        rig.predict(b"%d" % value)
    rig.run(handle)
    assert calls == [1] * 30
    assert [a.items for a in rig.answers()] == [[b"%d" % value] for value in range(30)]
    assert writes == [30]


def test_answers_wait_at_most_a_moment_while_quick_batches_go_on(rig: Rig) -> None:
    seen: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        seen.append(len(rig.answers()))
        rig.time.now += 0.0002
        return echo(data, context)

    for _ in range(12):
        rig.predict(b"x")
    rig.run(handle)
    assert sum(seen) >= 6  # the first ones left long before the last handler ran
    assert sum(seen) + len(rig.answers()) == 12


def test_finished_answers_leave_before_a_slow_handler(rig: Rig) -> None:
    held: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        held.append(rig.connection.pending_bytes)
        rig.time.now += 0.0005
        return echo(data, context)

    for _ in range(4):
        rig.predict(b"x")
    rig.run(handle)
    assert held == [0, 0, 0, 0]


def test_one_batch_that_took_long_does_not_part_the_answers_of_quick_ones(rig: Rig) -> None:
    held: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        held.append(rig.connection.pending_bytes)
        rig.time.now += 0.004 if len(held) == 50 else 0.00001  # once it lost the processor
        return echo(data, context)

    for _ in range(60):
        rig.predict(b"x")
    rig.run(handle)
    assert held[49] > 0
    assert all(held[51:])


def test_a_handler_that_takes_long_now_and_then_keeps_few_answers_waiting(rig: Rig) -> None:
    held: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        held.append(rig.connection.pending_bytes)
        rig.time.now += 0.05 if len(held) % 20 == 0 else 0.00001
        return echo(data, context)

    for _ in range(120):
        rig.predict(b"x")
    rig.run(handle)
    assert not any(held[40:])


def test_finished_answers_leave_before_a_large_batch(rig: Rig) -> None:
    held: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        held.append(rig.connection.pending_bytes)
        return [b""]

    rig.predict(b"x")
    rig.predict(b"x")
    rig.predict(b"x" * (32 << 10))
    rig.run(handle)
    assert held[1] > 0
    assert held[2] == 0


def test_the_marker_names_the_batch_before_its_handler_runs(rig: Rig) -> None:
    seen: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        seen.append(struct.unpack("<Q", rig.marker)[0])
        return echo(data, context)

    rig.predict(b"a")
    rig.predict(b"b")
    rig.run(handle)
    assert seen == [1, 2]


def test_a_batch_that_is_dropped_whole_never_counts_as_begun(rig: Rig) -> None:
    batch = rig.predict(b"a")
    rig.server.send(Cancel(batch, 0))
    rig.run(echo)
    assert rig.marker == bytes(8)
    assert [a.items for a in rig.answers()] == [[None]]


def test_cancelled_and_late_jobs_are_left_out_of_the_batch(rig: Rig) -> None:
    rows: list[list[bytes]] = []
    ids: list[dict[int, str] | None] = []

    def handle(data: Any, context: Context) -> Any:
        rows.append([bytes(row["data"]) for row in data])
        ids.append(context.request_ids)
        return echo(data, context)

    batch = rig.predict(b"cancelled", b"late", b"kept", b"kept too", deadlines={1: 999.0, 2: 1001.0})
    rig.server.send(Cancel(batch, 0))
    rig.run(handle)
    assert rows == [[b"kept", b"kept too"]]
    assert ids == [{0: "id-1-2", 1: "id-1-3"}]
    assert [a.items for a in rig.answers()] == [[None, None, b"kept", b"kept too"]]


def test_a_cancellation_that_comes_while_another_batch_runs_is_seen_before_the_next(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        rig.server.send(Cancel(2, 0))
        rig.time.now += 1
        return echo(data, context)

    rig.predict(b"a")
    rig.predict(b"b")
    rig.run(handle)
    assert [a.items for a in rig.answers()] == [[b"a"], [None]]


def test_a_deadline_that_passes_while_another_batch_runs_counts(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        rig.time.now += 1
        return echo(data, context)

    rig.predict(b"a", deadlines={0: 1000.5})
    rig.predict(b"b", deadlines={0: 1000.5})
    rig.run(handle)
    assert [a.items for a in rig.answers()] == [[b"a"], [None]]


def test_a_cancellation_for_an_answered_or_unknown_batch_is_ignored(rig: Rig) -> None:
    rig.predict(b"a")
    rig.server.send(Cancel(99, 0))
    rig.server.send(Cancel(1, 77))
    rig.server.send(Grant(99, 0, 5))
    rig.predict(b"b")
    rig.run(echo)
    assert [a.items for a in rig.answers()] == [[b"a"], [b"b"]]


def test_the_result_of_a_job_cancelled_while_it_ran_is_not_sent(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        rig.server.send(Cancel(1, 1))
        rig.time.now += 1
        assert [context.is_cancelled(idx) for idx in range(3)] == [False, True, False]
        return echo(data, context)

    rig.predict(b"a", b"b", b"c")
    rig.run(handle)
    assert [a.items for a in rig.answers()] == [[b"a", None, b"c"]]


def test_is_cancelled_speaks_of_the_rows_the_handler_sees(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        rig.server.send(Cancel(1, 2))
        rig.time.now += 1
        assert [context.is_cancelled(idx) for idx in (0, 1, 2, -1)] == [False, True, False, False]
        return echo(data, context)

    rig.predict(b"late", b"b", b"c", deadlines={0: 1.0})
    rig.run(handle)
    assert [a.items for a in rig.answers()] == [[None, b"b", None]]


MISTAKES: list[tuple[str, Any, Failure]] = [
    ("no list", lambda: {"a": 1}, Failure("output", 503, "Invalid model predict output")),
    ("none", lambda: None, Failure("output", 503, "Invalid model predict output")),
    ("too few", lambda: [b"x"], Failure("output", 503, "number of batch response mismatched")),
    ("too many", lambda: [b"x"] * 3, Failure("output", 503, "number of batch response mismatched")),
    ("no bytes", lambda: [b"x", object()], Failure("output", 503, "Unsupported model output data type.")),
    ("bad text", lambda: [b"x", "\ud800"], Failure("output", 503, "Unsupported model output data type.")),
]


def raising(error: BaseException) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Sloppy(PredictionException):
    def __init__(self) -> None:
        Exception.__init__(self, "my words")


MISTAKES += [
    ("memory", raising(MemoryError()), Failure("resources", 507, "Out of resources")),
    ("CUDA", raising(ValueError("CUDA error: x")), Failure("resources", 507, "Out of resources")),
    ("refused", raising(PredictionException("my words", 418)), Failure("refused", 418, "my words")),
    ("refused, CUDA", raising(PredictionException("no CUDA", 404)), Failure("refused", 404, "no CUDA")),
    ("refused, no number", raising(PredictionException("w", "x")), Failure("refused", 500, "w")),  # type: ignore[arg-type]
    ("refused, no text", raising(PredictionException(5, 400)), Failure("refused", 400, "5")),  # type: ignore[arg-type]
    ("refused, sloppily", raising(Sloppy()), Failure("refused", 500, "my words")),
    ("raised", raising(KeyError("secret /home/x")), Failure("raised", 503, "Prediction failed")),
    ("unprintable", raising(Unprintable()), Failure("raised", 503, "Prediction failed")),
    ("own cancellation", raising(JobCancelled()), Failure("raised", 503, "Prediction failed")),
]


@pytest.mark.parametrize(("call", "failure"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_of_the_handler_fails_every_job_of_its_batch_and_no_other(
    rig: Rig, call: Callable[[], Any], failure: Failure
) -> None:
    rig.predict(b"a", b"b")
    rig.predict(b"c")
    rig.run(lambda data, context: call() if len(data) == 2 else echo(data, context))
    assert [a.items for a in rig.answers()] == [[failure, failure], [b"c"]]


def test_a_traceback_goes_to_standard_error_unless_the_handler_refused_in_its_own_words(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.predict(b"a")
    rig.run(lambda data, context: raising(KeyError("the cause"))())
    assert "KeyError: 'the cause'" in capsys.readouterr().err


def test_a_refusal_among_the_results_fails_its_own_request_alone(rig: Rig) -> None:
    rig.predict(b"a", b"b")
    rig.run(lambda data, context: [b"fine", PredictionException("not this one", 422)])
    assert [a.items for a in rig.answers()] == [[b"fine", Failure("refused", 422, "not this one")]]


def test_a_result_over_the_limit_fails_alone_and_one_of_exactly_the_limit_passes() -> None:
    rig = Rig(max_response_bytes=10)
    try:
        rig.predict(b"a", b"b")
        rig.run(lambda data, context: [b"x" * 10, "x" * 11])
        (answer,) = rig.answers()
    finally:
        rig.close()
    assert answer.items[0] == b"x" * 10
    assert answer.failures == {1: Failure("too_large", 507, "", size=11, limit=10)}


def test_status_and_headers_travel_only_when_the_handler_set_some(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.set_response_header(1, "X-A", "ü\ud800")
        context.set_response_status(418, "teapot", 2)
        return echo(data, context)

    rig.predict(b"a", b"b", b"c")
    rig.predict(b"d")
    rig.run(lambda data, context: handle(data, context) if len(data) == 3 else echo(data, context))
    first, second = rig.answers()
    assert first.metas == {1: Meta(200, "", {"X-A": "ü?"}), 2: Meta(418, "teapot", {})}
    assert second.metas == {}


def test_headers_and_status_of_wrong_types_never_break_the_border(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.set_response_header(0, "n", 5)  # type: ignore[arg-type]
        context.set_response_status("many", None, 0)  # type: ignore[arg-type]
        return echo(data, context)

    rig.predict(b"a")
    rig.run(handle)
    assert rig.answers()[0].metas == {0: Meta(500, "", {"n": "5"})}


def test_the_context_speaks_of_the_running_batch_and_keeps_what_handlers_add(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.calls = getattr(context, "calls", 0) + 1  # type: ignore[attr-defined]
        return [f"{context.calls} {context.get_request_id(0)} {context.get_request_header(0, 'K')}"]  # type: ignore[attr-defined]

    rig.predict(b"a", headers={"K": "v"})
    rig.predict(b"b")
    rig.run(handle)
    assert [a.items for a in rig.answers()] == [[b"1 id-1-0 v"], [b"2 id-2-0 None"]]


def test_headers_hold_the_content_type_of_each_value(rig: Rig) -> None:
    seen: list[Any] = []

    def handle(data: Any, context: Context) -> Any:
        seen.append((data, context.get_all_request_header(0)))
        return [b""]

    inputs = [("j", "application/json", 7), ("t", "text/plain", 2), ("b", "", 1), ("bad", "application/json", 1)]
    rig.server.send(Predict(1, [JobHeader("id", inputs, {"K": "v"}, None)]), b'{"a":1}', "ü".encode(), b"x", b"{")
    rig.server.send(Predict(2, [JobHeader("id", inputs[:2], {}, None)]), b'{"a":1}', b"hi")
    rig.run(handle)
    assert seen[0][0] == [{"j": {"a": 1}, "t": "ü", "b": bytearray(b"x"), "bad": bytearray(b"{")}]
    assert [type(value) for value in seen[0][0][0].values()] == [dict, str, bytearray, bytearray]
    assert seen[0][1]["j"] == {"content-type": "application/json"}
    assert seen[0][1]["b"] == {"content-type": ""}
    assert seen[0][1]["K"] == "v"


def test_values_stay_bytearrays_when_decoding_is_switched_off(rig: Rig) -> None:
    rows: list[Any] = []
    rig.server.send(Predict(1, [JobHeader("id", [("j", "application/json", 2)], {}, None)]), b"{}")
    rig.run(lambda data, context: rows.append(data) or [b""], decode=False)
    assert rows == [[{"j": bytearray(b"{}")}]]


def test_a_request_without_inputs_is_an_empty_row(rig: Rig) -> None:
    rows: list[Any] = []
    rig.server.send(Predict(1, [JobHeader("id", [], {"describe": "True"}, None)]))
    rig.run(lambda data, context: rows.append((data, context.get_request_header(0, "describe"))) or [b""])
    assert rows == [([{}], "True")]


def test_stop_is_obeyed_after_everything_sent_before_it(rig: Rig) -> None:
    rig.predict(b"a")
    rig.server.send(Stop())
    rig.predict(b"sent after stop, in the same read")
    rig.run(echo)
    assert rig.answers()[0].items == [b"a"]


def test_a_server_that_is_gone_ends_the_loop(rig: Rig) -> None:
    rig.server.socket.close()
    with pytest.raises(ServerGone):
        rig.loop(echo).run()


def test_a_server_that_leaves_during_a_batch_ends_the_loop(rig: Rig) -> None:
    rig.predict(b"a")
    with pytest.raises(ServerGone):
        rig.loop(lambda data, context: rig.server.socket.close() or [b"x"]).run()


def test_garbage_and_unexpected_messages_end_the_loop_with_a_frame_error(rig: Rig) -> None:
    rig.server.send(Load(model_name="m", model_dir="", handler=""))
    with pytest.raises(frames.FrameError):
        rig.loop(echo).run()
    rig.server.socket.sendall(frames.PREFIX.pack(3, 0) + b"???")
    with pytest.raises(frames.FrameError):
        rig.loop(echo).run()


def test_system_exit_of_a_handler_is_not_mistaken_for_a_failed_prediction(rig: Rig) -> None:
    rig.predict(b"a")
    with pytest.raises(SystemExit):
        rig.loop(lambda data, context: raising(SystemExit(3))()).run()
    assert rig.answers() == []
