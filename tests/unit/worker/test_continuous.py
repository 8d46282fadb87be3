"""Requests join and leave between two calls of the handler, and each gets its parts and its one end."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from continuous_kit import Countdown, of
from worker_rig import Rig

from stoker.ipc import frames
from stoker.ipc.to_server import Failure, Meta
from stoker.ipc.to_worker import Cancel
from stoker.worker import calling
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled, PredictionException

RAISED = calling.RAISED


RIG = {"window_bytes": 100}


def test_a_request_takes_part_in_every_step_until_its_criterion_says_so(rig: Rig) -> None:
    rig.predict(b"3")
    rig.predict(b"1")
    handler = Countdown()
    rig.run_continuously(handler)
    first, second = "id-1-0", "id-2-0"
    assert handler.calls == [{first: {"data": b"3"}, second: {"data": b"1"}}, {first: {}}, {first: {}}]
    answers = rig.answers()
    assert of(answers, 1) == [b"2", b"1", [b"0"]]
    assert of(answers, 2) == [[b"0"]]


def test_a_request_that_comes_during_a_step_joins_the_next_one_behind_the_others(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        if step == 1:
            rig.predict(b"2")

    rig.predict(b"3")
    handler = Countdown(meanwhile)
    rig.run_continuously(handler)
    assert [list(call) for call in handler.calls] == [["id-1-0"], ["id-1-0", "id-2-0"], ["id-1-0", "id-2-0"]]
    assert of(rig.answers(), 2) == [b"1", [b"0"]]


def test_the_criterion_sees_what_the_handler_returned(rig: Rig) -> None:
    seen: list[Any] = []

    def handle(data: Any, context: Context) -> Any:
        context.stopping_criteria = {0: seen.append, 1: seen.append}  # anything that is indexed by row; None: plain
        return [{"text": "a"}, "b"]

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    assert seen == [{"text": "a"}, "b"]
    assert [a.items for a in rig.answers()] == [[b'{\n  "text": "a"\n}'], [b"b"]]


@pytest.mark.parametrize("criteria", [None, [], {}, [lambda part: None]])
def test_without_a_verdict_an_output_is_the_whole_answer(rig: Rig, criteria: Any) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.stopping_criteria = criteria
        return [b"all"]

    rig.predict(b"x")
    rig.run_continuously(handle)
    assert of(rig.answers(), 1) == [[b"all"]]


def test_criteria_stay_until_the_handler_sets_others(rig: Rig) -> None:
    steps: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        steps.append(len(data))
        if len(steps) == 1:
            context.stopping_criteria = [lambda part: part == b"3"]
        return [b"%d" % len(steps)]

    rig.predict(b"x")
    rig.run_continuously(handle)
    assert of(rig.answers(), 1) == [b"1", b"2", [b"3"]]


def broken(part: object) -> bool:
    raise KeyError(part)


def refuses(part: object) -> bool:
    raise PredictionException("no more", 429)


@pytest.mark.parametrize(
    ("criterion", "failure"), [(broken, RAISED), (refuses, Failure("refused", 429, "no more")), ("no function", RAISED)]
)
def test_a_criterion_that_fails_costs_its_own_request_only(
    rig: Rig, criterion: Any, failure: Failure, capfd: pytest.CaptureFixture[str]
) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.stopping_criteria = [criterion, lambda part: True][-len(data) :]
        return [b"part"] * len(data)

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == [[failure]]
    assert of(answers, 2) == [[b"part"]]


def test_a_row_without_a_criterion_fails_alone(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.stopping_criteria = [lambda part: True]
        return [b"part"] * len(data)

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == [[b"part"]]
    assert of(answers, 2) == [[RAISED]]


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        (PredictionException("bad prompt", 400), Failure("refused", 400, "bad prompt")),
        (object(), calling.UNSUPPORTED),
        (b"x" * (1 + (1 << 20)), Failure("too_large", 507, "", 1 + (1 << 20), 1 << 20)),
    ],
)
def test_an_output_that_is_no_part_costs_its_own_request_only(
    rig: Rig, output: Any, failure: Failure, capfd: pytest.CaptureFixture[str]
) -> None:
    gone: list[set[str]] = []

    def handle(data: Any, context: Context) -> Any:
        gone.append(set(context.cancelled))
        last = len(gone) == 2
        context.stopping_criteria = [lambda part: last] * len(data)
        return [output, b"part"][-len(data) :]

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == [[failure]]
    assert of(answers, 2) == [b"part", [b"part"]]
    assert gone == [set(), {"id-1-0"}]


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (RuntimeError(), RAISED),
        (PredictionException("later", 503), Failure("refused", 503, "later")),
        (JobCancelled(), RAISED),
        ("text", calling.NOT_A_LIST),
        ([b"1"], calling.WRONG_LENGTH),
    ],
)
def test_a_step_that_fails_ends_its_requests_and_the_next_ones_are_served(
    rig: Rig, outcome: Any, failure: Failure, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[int] = []

    def handle(data: Any, context: Context) -> Any:
        steps.append(len(data))
        context.stopping_criteria = [lambda part: len(steps) == 3] * len(data)
        if len(steps) != 2:
            return [b"%d" % len(steps)] * len(data)
        rig.predict(b"x")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_continuously(handle)
    answers = rig.answers()
    assert of(answers, 1) == of(answers, 2) == [b"1", [failure]]
    assert of(answers, 3) == [[b"3"]]


def test_a_request_whose_client_leaves_is_left_out_of_the_next_step_and_named_in_it(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        if step == 1:
            rig.server.send(Cancel(1, 0))

    rig.predict(b"9")
    rig.predict(b"3")
    handler = Countdown(meanwhile)
    rig.run_continuously(handler)
    assert [list(call) for call in handler.calls] == [["id-1-0", "id-2-0"], ["id-2-0"], ["id-2-0"]]
    assert handler.gone == [set(), {"id-1-0"}, set()]
    answers = rig.answers()
    assert of(answers, 1) == [b"8", [None]]
    assert of(answers, 2) == [b"2", b"1", [b"0"]]


def test_a_handler_hears_of_the_last_client_that_left_when_it_is_called_next(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        if step == 1:
            rig.server.send(Cancel(1, 0))
            rig.predict(b"1")

    rig.predict(b"9")
    handler = Countdown(meanwhile)
    rig.run_continuously(handler)
    assert [list(call) for call in handler.calls] == [["id-1-0"], ["id-2-0"]]
    assert handler.gone == [set(), {"id-1-0"}]


def test_a_request_that_nobody_wants_when_it_may_join_is_not_run(rig: Rig) -> None:
    rig.predict(b"1")
    rig.predict(b"1", deadlines={0: rig.time.now - 1})
    rig.server.send(Cancel(1, 0))
    rig.run_continuously(Countdown())
    assert [a.items for a in rig.answers()] == [[None], [None]]


def test_a_request_leaves_when_its_deadline_has_passed(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        rig.time.now += 1

    rig.predict(b"9", deadlines={0: rig.time.now + 1.5})
    handler = Countdown(meanwhile)
    rig.run_continuously(handler)
    assert len(handler.calls) == 2
    assert of(rig.answers(), 1) == [b"8", b"7", [None]]


def test_a_handler_may_ask_in_the_middle_of_a_step_who_left(rig: Rig) -> None:
    asked: list[Any] = []

    def meanwhile(step: int) -> None:
        rig.server.send(Cancel(2, 0))
        rig.time.now += 1
        asked.append([rig.context.is_cancelled(row) for row in range(-1, 3)])

    rig.predict(b"1")
    rig.predict(b"1")
    rig.run_continuously(Countdown(meanwhile))
    assert asked == [[False, False, True, False]]


def test_the_marker_names_the_newest_request_that_has_joined(rig: Rig) -> None:
    markers: list[int] = []

    def meanwhile(step: int) -> None:
        markers.append(struct.unpack("<Q", rig.marker)[0])
        if step == 2:
            rig.predict(b"1")

    rig.predict(b"4")
    rig.predict(b"1")
    rig.run_continuously(Countdown(meanwhile))
    assert markers == [2, 2, 3, 3]


def test_headers_of_a_request_are_there_in_each_step_and_those_of_its_answer_leave_with_each_part(rig: Rig) -> None:
    seen: list[Any] = []

    def handle(data: Any, context: Context) -> Any:
        seen.append(context.get_request_header(0, "who"))
        context.set_response_header(0, "step", str(len(seen)))
        context.stopping_criteria = [lambda part: len(seen) == 2]
        return [b"x"]

    rig.predict(b"x", headers={"who": "me"})
    rig.run_continuously(handle)
    assert seen == ["me", "me"]
    assert [a.metas for a in rig.answers()] == [{0: Meta(200, "", {"step": "1"})}, {0: Meta(200, "", {"step": "2"})}]


def test_a_description_is_a_whole_answer_whatever_the_criteria(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        context.stopping_criteria = [lambda part: False]
        return [{"a": 1}]

    rig.predict(b"", headers={"describe": "True"})
    rig.run_continuously(handle)
    assert of(rig.answers(), 1) == [[b'{\n  "a": 1\n}']]


def test_each_answer_says_how_long_its_steps_took(rig: Rig) -> None:
    def meanwhile(step: int) -> None:
        rig.time.now += step

    rig.predict(b"3")
    rig.predict(b"1")
    rig.run_continuously(Countdown(meanwhile))
    seconds = {m.batch_id: m.seconds for m, _ in rig.server.waiting() if hasattr(m, "seconds")}
    assert seconds == {1: 6.0, 2: 1.0}


def test_a_batch_of_several_jobs_breaks_the_protocol(rig: Rig) -> None:
    rig.predict(b"1", b"1")
    with pytest.raises(frames.FrameError, match="comes alone"):
        rig.run_continuously(Countdown())
