"""Requests join and leave between two calls of the handler, and each gets its parts and its one end."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from worker_rig import Answer, Rig

from stoker.ipc import frames
from stoker.ipc.to_server import Failure, Meta
from stoker.ipc.to_worker import Cancel, Grant
from stoker.worker import calling
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled, PredictionException
from stoker.worker.handler_utils import send_intermediate_predict_response

RAISED = calling.RAISED


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(window_bytes=100)
    yield rig
    rig.close()


class Countdown:
    """Answers ``b"3"`` with three parts. ``calls``: ids and rows of each call; ``gone``: what had been cancelled."""

    def __init__(self, meanwhile: Callable[[int], None] = lambda step: None) -> None:
        self.left: dict[str, int] = {}
        self.calls: list[dict[str, Any]] = []
        self.gone: list[set[str]] = []
        self._meanwhile = meanwhile

    def __call__(self, data: list[dict[str, Any]], context: Context) -> list[bytes]:
        assert context.request_ids is not None
        ids = list(context.request_ids.values())
        self.calls.append(dict(zip(ids, data, strict=True)))
        self.gone.append(set(context.cancelled))
        for name, row in zip(ids, data, strict=True):
            if row:
                self.left[name] = int(row["data"])
            self.left[name] -= 1
        self._meanwhile(len(self.calls))
        context.stopping_criteria = [lambda _part, name=name: self.left[name] <= 0 for name in ids]
        return [b"%d" % self.left[name] for name in ids]


def of(answers: list[Answer], batch_id: int) -> list[Any]:
    """Parts as bytes, the end as a list."""
    return [a.items[0] if a.part else a.items for a in answers if a.batch_id == batch_id]


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
