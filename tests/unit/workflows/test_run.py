from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from stoker import errors
from stoker.core.buffer import Buffer
from stoker.core.job import Input, Job, ModelKey
from stoker.core.measures import RequestTotals
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.core.sequences import Membership
from stoker.core.workflows import Form, Trace
from stoker.workflows.answers import STREAMED, WHOLE
from stoker.workflows.execution import Execution
from stoker.workflows.graph import Graph, Node, Serving
from stoker.workflows.run import Run, RunOptions


class FakeModel:
    """Keeps its jobs until the test answers them. Implements `core.reply.Producer` too."""

    def __init__(self, name: str) -> None:
        self.key = ModelKey(f"w__{name}", "1.0")
        self.totals: RequestTotals | None = RequestTotals()
        self.streams_alone = True
        self.jobs: list[Job] = []
        self.cancelled: list[Job] = []
        self.consumed = 0
        self.refusal: errors.ServingError | None = None
        self.answers_at_once: bytes | None = None

    def submit(self, job: Job, member: Membership | None) -> Job:
        if self.refusal is not None:
            raise self.refusal
        self.jobs.append(job)
        job.reply.producer, job.reply.job = self, job
        if self.answers_at_once is not None:
            self.answer(self.answers_at_once)
        return job

    @property
    def job(self) -> Job:
        return self.jobs[-1]

    def answer(self, data: bytes, meta: ResponseMeta | None = None) -> None:
        self.job.reply.push(Chunk(data, meta), last=True)

    def part(self, data: bytes) -> None:
        self.job.reply.push_parts([Chunk(data)], len(data))

    def fail(self, error: errors.ServingError) -> None:
        self.job.reply.fail(error)

    def job_cancelled(self, job: Job) -> None:
        self.cancelled.append(job)

    def job_consumed(self, job: Job, nbytes: int) -> None:
        self.consumed += nbytes


@dataclass
class FakeTimer:
    delay: float
    fire: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Rig:
    """A run of ``names`` and ``edges`` over fake models. Implements `run.Observer`."""

    def __init__(self, names: str, *edges: str, form: Form = WHOLE, retries: int = 1, wanted: str = "") -> None:
        nodes = [Node(name=name, serving=Serving(retry_attempts=retries)) for name in names]
        self.graph = Graph.build(nodes, [(edge[0], edge[1]) for edge in edges])
        self.models = {name: FakeModel(name) for name in names}
        self.time = 100.0
        self.retried: list[str] = []
        self.ends: list[errors.ServingError | None] = []
        self.timers: list[FakeTimer] = []
        self.headers: Mapping[str, str] = {"x-mine": "1"}
        self.run = Run(
            Execution(self.graph, [Input("data", "", b"in")], deadline=None, wanted=wanted),
            RunOptions(form=form, request_id="id", headers=self.headers),
            models=self.models,
            observer=self,
            now=lambda: self.time,
            call_later=self._call_later,
        )

    def _call_later(self, delay: float, call: Callable[..., object], *given: object) -> FakeTimer:
        timer = FakeTimer(delay, lambda: call(*given))
        self.timers.append(timer)
        return timer

    def begin(self) -> ReplyStream:
        return self.run.begin()

    def node_retried(self, node: str) -> None:
        self.retried.append(node)

    def run_ended(self, run: Run, error: errors.ServingError | None) -> None:
        self.ends.append(error)

    def __getitem__(self, name: str) -> FakeModel:
        return self.models[name]


def text_of(reply: ReplyStream) -> bytes:
    return b"".join(bytes(chunk.data) for chunk in reply.read_nowait(1 << 30))


# ---------------------------------------------------------------------------------------------- whole answers


def test_each_node_gets_its_job_and_the_caller_the_last_ones_bytes() -> None:
    rig = Rig("ab", "ab")
    reply = rig.begin()
    rig["a"].answer(b"A")
    job = rig["b"].job
    rig["b"].answer(b"B")

    assert job.inputs == [Input("body", "", b"A")]
    assert (job.key, job.id, job.headers) == (ModelKey("w__b", "1.0"), "id/b", rig.headers)
    assert reply.is_one_chunk
    assert text_of(reply) == b"B"
    assert rig.ends == [None]


def test_a_model_that_answers_before_submit_returns_loses_no_reply() -> None:
    """TorchServe attached the reply slot after the job was queued, and lost the answers of quick nodes."""
    rig = Rig("abcd", "ab", "ac", "bd", "cd")
    for model in rig.models.values():
        model.answers_at_once = b"x"

    assert text_of(rig.begin()) == b"x"
    assert [len(model.jobs) for model in rig.models.values()] == [1, 1, 1, 1]


def test_parts_of_a_node_are_joined_for_its_successor() -> None:
    rig = Rig("ab", "ab")
    rig.begin()
    rig["a"].part(b"one ")
    rig["a"].part(b"two ")
    assert rig["b"].jobs == []
    rig["a"].answer(b"three")

    assert bytes(rig["b"].job.inputs[0].value) == b"one two three"


def test_what_nodes_set_besides_their_output_is_dropped() -> None:
    rig = Rig("a")
    reply = rig.begin()
    rig["a"].answer(b"A", ResponseMeta(507, "no", {"content-type": "text/plain"}))

    assert reply.read_nowait() == [Chunk(b"A", None)]


def test_several_leaves_make_one_object() -> None:
    rig = Rig("abc", "ab", "ac")
    reply = rig.begin()
    rig["a"].answer(b"")
    rig["c"].answer(b"1")
    rig["b"].answer(b"text")

    assert text_of(reply) == b'{\n  "b": "text",\n  "c": 1\n}\n'


# ---------------------------------------------------------------------------------------------- failures


def test_a_node_that_fails_ends_the_run_and_cancels_its_siblings() -> None:
    rig = Rig("abc", "ab", "ac")
    reply = rig.begin()
    rig["a"].answer(b"")
    rig["b"].fail(errors.HandlerRaised())

    assert isinstance(reply.error, errors.NodeFailed)
    assert rig["c"].cancelled == rig["c"].jobs
    assert rig.ends == [reply.error]


def test_a_node_that_takes_no_job_fails_the_run_at_once() -> None:
    rig = Rig("ab", "ab")
    rig["b"].refusal = errors.QueueFull("w__b")
    reply = rig.begin()
    rig["a"].answer(b"A")

    assert isinstance(reply.error, errors.NodeFailed)
    assert isinstance(reply.error.error, errors.QueueFull)


def test_a_failed_attempt_is_followed_by_another_after_its_pause() -> None:
    rig = Rig("a")
    reply = rig.begin()
    rig["a"].fail(errors.WorkerDied("signal 9"))

    assert not reply.ended
    assert rig.retried == ["a"]
    (timer,) = rig.timers
    assert timer.delay > 0
    timer.fire()
    assert [job.id for job in rig["a"].jobs] == ["id/a", "id/a/1"]
    rig["a"].answer(b"A")
    assert text_of(reply) == b"A"
    assert rig.ends == [None]


def test_a_pause_that_passes_after_the_caller_left_starts_nothing() -> None:
    rig = Rig("a")
    reply = rig.begin()
    rig["a"].fail(errors.WorkerDied("signal 9"))
    reply.cancel()
    (timer,) = rig.timers
    timer.fire()

    assert len(rig["a"].jobs) == 1
    assert len(rig.ends) == 1


def test_a_defect_of_ours_is_answered_too(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("ab", "ab")
    reply = rig.begin()
    monkeypatch.setattr(Execution, "replied", lambda *given: 1 / 0)
    rig["a"].answer(b"A")

    assert isinstance(reply.error, errors.ServingError)
    assert "division" not in reply.error.message
    assert "division" in caplog.text
    assert len(rig.ends) == 1


def test_an_answer_that_cannot_be_made_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Named):
        def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
            raise MemoryError("no room")

    rig = Rig("a", form=Full(streams=False))
    reply = rig.begin()
    rig["a"].answer(b"A")

    assert isinstance(reply.error, errors.ServingError)
    assert "no room" in caplog.text
    assert len(rig.ends) == 1


# ---------------------------------------------------------------------------------------------- leaving


def test_a_caller_that_leaves_cancels_what_runs() -> None:
    rig = Rig("abc", "ab", "ac")
    reply = rig.begin()
    rig["a"].answer(b"")
    reply.cancel()

    assert [model.cancelled for model in rig.models.values()] == [[], rig["b"].jobs, rig["c"].jobs]
    assert len(rig.ends) == 1
    assert isinstance(rig.ends[0], errors.Cancelled)
    rig["b"].answer(b"late")
    reply.cancel()
    assert len(rig.ends) == 1


def test_a_run_that_the_server_abandons_tells_its_caller_why() -> None:
    rig = Rig("a")
    reply = rig.begin()
    rig.run.abandon(errors.ServerStopping())

    assert isinstance(reply.error, errors.ServerStopping)
    assert rig["a"].cancelled == rig["a"].jobs


# ---------------------------------------------------------------------------------------------- streams


def test_parts_of_the_leaf_reach_the_caller_as_they_come() -> None:
    rig = Rig("ab", "ab", form=STREAMED)
    reply = rig.begin()
    assert not rig["a"].job.streaming
    rig["a"].answer(b"A")
    assert rig["b"].job.streaming
    assert rig["b"].job.alone
    rig["b"].part(b"one")
    assert text_of(reply) == b"one"
    assert not reply.ended
    rig["b"].answer(b"two")
    assert text_of(reply) == b"two"
    assert reply.exhausted
    assert rig.ends == [None]


def test_a_leaf_that_answers_whole_is_one_chunk() -> None:
    rig = Rig("a", form=STREAMED)
    reply = rig.begin()
    rig["a"].answer(b"A")

    assert reply.is_one_chunk


def test_a_leaf_is_read_no_faster_than_its_caller_reads() -> None:
    rig = Rig("a", form=STREAMED)
    reply = rig.begin()
    for _ in range(100):
        rig["a"].part(bytes(16 << 10))
    read_ahead = rig["a"].consumed
    assert read_ahead < 10 * (16 << 10)

    assert len(text_of(reply)) > 0
    assert rig["a"].consumed > read_ahead
    rig["a"].answer(b"end")
    rest = b""
    while not reply.exhausted:
        rest += text_of(reply)
    assert rest.endswith(b"end")
    assert rig.ends == [None]


def test_a_stream_that_breaks_after_a_part_is_not_begun_anew() -> None:
    rig = Rig("a", form=STREAMED, retries=5)
    reply = rig.begin()
    rig["a"].part(b"one")
    rig["a"].fail(errors.WorkerDied("signal 9"))

    assert text_of(reply) == b"one"
    assert isinstance(reply.error, errors.NodeFailed)
    assert len(rig["a"].jobs) == 1


def test_a_streams_first_part_has_the_nodes_timeout_and_the_rest_takes_as_long_as_it_takes() -> None:
    rig = Rig("a", form=STREAMED)
    rig.begin()
    (timer,) = rig.timers
    assert timer.delay == 10.0
    assert rig["a"].job.deadline is None
    rig["a"].part(b"one")

    assert timer.cancelled


def test_a_stream_whose_first_part_is_late_is_begun_anew() -> None:
    rig = Rig("a", form=STREAMED)
    reply = rig.begin()
    rig.timers[0].fire()
    assert rig["a"].cancelled == [rig["a"].job]
    rig.timers[1].fire()
    rig["a"].answer(b"in time")

    assert text_of(reply) == b"in time"
    assert rig.timers[2].cancelled
    assert rig.ends == [None]


def test_the_timer_of_a_stream_ends_with_its_caller() -> None:
    rig = Rig("a", form=STREAMED)
    reply = rig.begin()
    reply.cancel()

    assert rig.timers[0].cancelled


def test_a_caller_that_leaves_in_the_middle_of_a_part_is_not_sent_the_rest() -> None:
    rig = Rig("a", form=STREAMED)
    reply = rig.begin()
    reply.subscribe(reply.cancel)
    rig["a"].part(b"one")
    rig["a"].part(b"two")

    assert rig["a"].cancelled == rig["a"].jobs
    assert len(rig.ends) == 1


class Named:
    """A form that names the node of each part, as a service of its own may."""

    def __init__(self, *, streams: bool, traces: bool = False) -> None:
        self.streams = streams
        self.traces = traces
        self.traced: Mapping[str, Trace] = {}

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer:
        return node.encode() + bytes(data) + (b"." if last else b" ")

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
        self.traced = dict(traces)
        return b" ".join(name.encode() + bytes(output) for name, output in outputs.items())

    def failure(self, error: errors.NodeFailed) -> Buffer | None:
        return b"!" + error.node.encode()


def test_several_streams_share_one_answer_that_ends_with_the_last() -> None:
    rig = Rig("abc", "ab", "ac", form=Named(streams=True))
    reply = rig.begin()
    rig["a"].answer(b"")
    rig["b"].part(b"1")
    rig["c"].part(b"2")
    rig["c"].answer(b"3")
    assert not reply.ended
    rig["b"].answer(b"4")

    assert text_of(reply) == b"b1 c2 c3.b4."
    assert reply.exhausted


def test_a_wanted_inner_node_is_one_part_because_others_need_it_whole() -> None:
    rig = Rig("ab", "ab", form=Named(streams=True), wanted="ab")
    reply = rig.begin()
    assert not rig["a"].job.streaming
    rig["a"].part(b"1")
    rig["a"].answer(b"2")
    rig["b"].answer(b"3")

    assert text_of(reply) == b"a12.b3."


def test_a_form_may_say_what_failed_before_the_end() -> None:
    rig = Rig("a", form=Named(streams=True))
    reply = rig.begin()
    rig["a"].fail(errors.HandlerRaised())

    assert text_of(reply) == b"!a"
    assert isinstance(reply.error, errors.NodeFailed)


def test_traces_tell_how_each_node_fared() -> None:
    form = Named(streams=False, traces=True)
    rig = Rig("ab", "ab", form=form)
    rig.begin()
    for name in "ab":
        totals = rig[name].job.totals
        assert totals is not None
        assert totals is not rig[name].totals
        totals.queued_s, totals.latency_s = 0.25, 1.0
        rig[name].answer(b"")

    assert form.traced == {"a": Trace(1, 0.25, 0.75), "b": Trace(1, 0.25, 0.75)}
    measured = rig["a"].totals
    assert measured is not None
    assert (measured.queued_s, measured.latency_s, measured.requests) == (0.25, 1.0, 0)
