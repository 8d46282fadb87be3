"""What the steps of a continuous handler give leaves in time, in order, and at the pace of its readers."""

from __future__ import annotations

from typing import Any

import pytest
from continuous_kit import Countdown, of
from worker_rig import Rig

from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import Cancel, Grant
from stoker.worker import calling
from stoker.worker.context import Context
from stoker.worker.handler_utils import send_intermediate_predict_response

RAISED = calling.RAISED


RIG = {"window_bytes": 100}


def test_what_a_step_gave_has_left_before_the_next_one_begins(rig: Rig) -> None:
    seen: list[Any] = []
    rig.predict(b"3")
    rig.run_continuously(Countdown(lambda step: seen.append(of(rig.answers(), 1))))
    assert seen == [[], [b"2"], [b"1"]]


def test_what_slow_steps_gave_leaves_at_once(rig: Rig) -> None:
    seen: list[Any] = []

    def meanwhile(step: int) -> None:
        seen.append(of(rig.answers(), 1))
        rig.time.now += 0.001

    rig.predict(b"7")
    rig.run_continuously(Countdown(meanwhile))
    assert seen == [[], [b"6"], [b"5"], [b"4"], [b"3"], [b"2"], [b"1"]]


@pytest.mark.usefixtures("no_flusher")
def test_what_quick_steps_gave_leaves_together_each_row_for_itself(rig: Rig) -> None:
    rig.predict(b"8")
    rig.predict(b"8")
    rig.run_continuously(Countdown())
    assert rig.messages() == [b"7", b"7", b"6", b"6", b"5", b"5", b"4321", b"0", b"4321", b"0"]


def test_what_a_quick_step_gave_leaves_though_the_next_one_is_slow(rig: Rig) -> None:
    seen: list[bytes] = []

    def meanwhile(step: int) -> None:
        while step == 6 and b"".join(seen) != b"87654":
            seen.append(rig.server.receive()[1])

    rig.predict(b"9")
    rig.run_continuously(Countdown(meanwhile))
    assert b"".join(seen) == b"87654"


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_of_a_request_leaves_when_its_client_does(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        if step == 6:
            rig.server.send(Cancel(1, 0))

    rig.predict(b"9")
    rig.run_continuously(Countdown(meanwhile))
    assert of(rig.answers(), 1) == [b"8", b"7", b"6", b"5", b"4", b"3", [None]]


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_leaves_before_readers_are_waited_for(rig: Rig) -> None:
    seen: list[bytes] = []
    receive = rig.connection.receive

    def reading(*, wait: bool) -> Any:
        if wait:
            seen.extend(rig.messages())
            rig.server.send(Cancel(1, 0))
        return receive(wait=wait)

    rig.connection.receive = reading  # type: ignore[method-assign]

    def handle(data: Any, context: Context) -> Any:
        context.stopping_criteria = [lambda part: False]
        return [b"x" * 20]

    rig.predict(b"x")
    rig.run_continuously(handle)
    assert seen == [b"x" * 20] * 3 + [b"x" * 40]


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_is_not_lost_when_the_handler_ends_the_process(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        if step == 6:
            raise SystemExit

    rig.predict(b"9")
    with pytest.raises(SystemExit):
        rig.run_continuously(Countdown(meanwhile))
    rig.connection.flush()  # as the worker does then
    assert rig.messages() == [b"8", b"7", b"6", b"54"]


def test_no_step_begins_while_all_readers_are_behind(rig: Rig) -> None:
    seen: list[str] = []
    receive = rig.connection.receive

    def reading(*, wait: bool) -> Any:
        if wait:
            seen.append("wait")
            rig.server.send(Grant(1, 0, 100))
        return receive(wait=wait)

    rig.connection.receive = reading  # type: ignore[method-assign]

    def handle(data: Any, context: Context) -> Any:
        seen.append("step")
        last = seen.count("step") == 4
        context.stopping_criteria = [lambda part: last]
        return [b"x" * 50]

    rig.predict(b"x")
    rig.run_continuously(handle)
    assert seen == ["step", "step", "wait", "step", "step"]  # two parts fill the window


def test_a_reader_that_is_behind_does_not_keep_others_from_their_parts(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        if step == 1:
            rig.predict(b"3")

    def handle(data: Any, context: Context) -> Any:
        parts = countdown(data, context)
        return [part * 100 if row == 0 else part for row, part in enumerate(parts)]

    countdown = Countdown(meanwhile)
    rig.predict(b"4")
    rig.run_continuously(handle)
    assert of(rig.answers(), 2) == [b"2", b"1", [b"0"]]


def test_parts_in_the_middle_of_a_step_go_to_their_requests(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        assert context.request_ids is not None
        send_intermediate_predict_response([b"a", b"b"], context.request_ids, "", 200, context)
        send_intermediate_predict_response([b"", b"c"], {1: "id-2-0", 5: "unknown"}, "", 200, context)
        context.stopping_criteria = None
        return [b"end"] * 2

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == [b"a", [b"end"]]
    assert of(answers, 2) == [b"b", b"c", [b"end"]]


@pytest.mark.parametrize("code", [200, 429])
def test_a_part_that_a_criterion_sends_leaves_before_the_answers_of_its_step(rig: Rig, code: int) -> None:
    def handle(data: Any, context: Context) -> Any:
        def asks(part: bytes) -> bool:
            send_intermediate_predict_response([b"late"], {0: "id-1-0"}, "enough", code, context)
            return True

        context.stopping_criteria = [lambda part: True, asks]
        return [b"end"] * 2

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == ([b"late", [b"end"]] if code == 200 else [[Failure("refused", 429, "enough")]])
    assert of(answers, 2) == [[b"end"]]


@pytest.mark.parametrize(
    ("part", "code", "failure"),
    [
        (b"", 429, Failure("refused", 429, "enough")),
        (b"x" * (1 + (1 << 20)), 200, Failure("too_large", 507, "", 1 + (1 << 20), 1 << 20)),
    ],
)
def test_a_refusal_or_a_part_too_large_in_the_middle_of_a_step_ends_its_request(
    rig: Rig, part: bytes, code: int, failure: Failure
) -> None:
    def handle(data: Any, context: Context) -> Any:
        send_intermediate_predict_response([part] * 2, {1: "id-2-0"}, "enough", code, context)
        context.stopping_criteria = [lambda output: len(data) == 1] * 2
        return [b"x"] * len(data)

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == [b"x", [b"x"]]
    assert of(answers, 2) == [[failure]]
