from __future__ import annotations

import pytest

from stoker import errors
from stoker.core.job import Input
from stoker.workflows import execution as steps
from stoker.workflows.execution import Answer, BackOff, CancelAttempt, Execution, Fail, Submit
from stoker.workflows.graph import Graph, Node, Serving

INPUTS = [Input("data", "", b"request")]
TIMEOUT_S = 10.0


def execution(
    names: str,
    *edges: str,
    retries: int = 1,
    deadline: float | None = None,
    wanted: str = "",
    decode: str = "",
) -> Execution:
    """``execution("abc", "ab", "bc")``: three nodes in a row."""
    serving = Serving(retry_attempts=retries, timeout_s=TIMEOUT_S)
    nodes = [Node(name=name, serving=serving, decode=name in decode) for name in names]
    graph = Graph.build(nodes, [(edge[0], edge[1]) for edge in edges])
    return Execution(graph, INPUTS, deadline=deadline, wanted=wanted)


def taken(run: Execution) -> list[steps.Action]:
    actions = list(run.actions)
    run.actions.clear()
    return actions


def begun(run: Execution) -> Execution:
    run.begin(0.0)
    taken(run)
    return run


def diamond(**options: object) -> Execution:
    return begun(execution("abcd", "ab", "ac", "bd", "cd", **options))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- the order


def test_the_start_node_is_submitted_first_and_alone() -> None:
    run = execution("abcd", "ab", "ac", "bd", "cd")
    run.begin(100.0)

    assert taken(run) == [Submit("a", 0, 100.0 + TIMEOUT_S)]
    assert run.inputs_of("a") is INPUTS


def test_a_reply_submits_every_successor_at_once() -> None:
    run = diamond()
    run.replied("a", 0, b"A", 1.0)

    assert [action.node for action in taken(run) if isinstance(action, Submit)] == ["b", "c"]


def test_a_node_waits_for_all_of_its_predecessors() -> None:
    run = diamond()
    run.replied("a", 0, b"A", 1.0)
    taken(run)
    run.replied("c", 0, b"C", 2.0)
    assert taken(run) == []

    run.replied("b", 0, b"B", 3.0)
    assert taken(run) == [Submit("d", 0, 3.0 + TIMEOUT_S)]


def test_the_last_reply_is_the_answer() -> None:
    run = begun(execution("ab", "ab"))
    run.replied("a", 0, b"A", 1.0)
    taken(run)
    run.replied("b", 0, b"B", 2.0)

    assert taken(run) == [Answer()]
    assert run.over
    assert run.outputs() == {"b": b"B"}


def test_several_leaves_are_all_waited_for_and_keep_the_order_of_the_graph() -> None:
    run = begun(execution("abc", "ab", "ac"))
    run.replied("a", 0, b"A", 1.0)
    run.replied("c", 0, b"C", 2.0)
    taken(run)
    assert not run.over

    run.replied("b", 0, b"B", 3.0)
    assert taken(run) == [Answer()]
    assert list(run.outputs().items()) == [("b", b"B"), ("c", b"C")]


# ---------------------------------------------------------------------------------------------- what nodes get


def test_one_predecessor_gives_its_bytes_as_body() -> None:
    run = begun(execution("ab", "ab"))
    run.replied("a", 0, b"A", 1.0)

    assert run.inputs_of("b") == [Input("body", "", b"A")]


def test_several_predecessors_give_their_bytes_by_name_in_the_order_of_the_graph() -> None:
    run = diamond()
    run.replied("a", 0, b"A", 1.0)
    run.replied("c", 0, b"C", 2.0)
    run.replied("b", 0, b"B", 3.0)

    assert run.inputs_of("d") == [Input("b", "", b"B"), Input("c", "", b"C")]


def test_a_node_that_decodes_is_told_that_its_inputs_are_json() -> None:
    run = begun(execution("ab", "ab", decode="b"))
    run.replied("a", 0, b"{}", 1.0)

    assert run.inputs_of("b") == [Input("body", "application/json", b"{}")]


# ---------------------------------------------------------------------------------------------- wanted nodes


def test_what_a_wanted_node_does_not_depend_on_is_not_run() -> None:
    run = begun(execution("abcd", "ab", "ac", "cd", wanted="b"))
    run.replied("a", 0, b"A", 1.0)
    assert [action.node for action in taken(run) if isinstance(action, Submit)] == ["b"]

    run.replied("b", 0, b"B", 2.0)
    assert taken(run) == [Answer()]
    assert run.outputs() == {"b": b"B"}


def test_an_inner_node_and_a_leaf_can_both_be_wanted() -> None:
    run = begun(execution("ab", "ab", wanted="ab"))
    run.replied("a", 0, b"A", 1.0)
    assert isinstance(taken(run)[0], Submit)
    assert not run.is_last("a")
    assert run.is_last("b")

    run.replied("b", 0, b"B", 2.0)
    assert run.outputs() == {"a": b"A", "b": b"B"}


# ---------------------------------------------------------------------------------------------- failures


def failure_of(run: Execution) -> errors.NodeFailed:
    failed = [action for action in taken(run) if isinstance(action, Fail)]
    assert len(failed) == 1
    return failed[0].error


INCURABLE = [
    errors.HandlerRaised(),
    errors.HandlerRefused("no", 400),
    errors.OutOfResources(),
    errors.InvalidOutput(),
    errors.ResponseTooLarge(2, 1),
    errors.WorkerOutOfMemory("too large"),
    errors.NoWorkers("m"),
    errors.QueueFull("m"),
    errors.ModelUnregistered(model="m"),
    errors.ServerStopping(),
]


@pytest.mark.parametrize("error", INCURABLE, ids=lambda error: type(error).__name__)
def test_what_another_attempt_cannot_cure_fails_at_once(error: errors.ServingError) -> None:
    run = begun(execution("a", retries=5))
    run.failed("a", 0, error, 1.0)

    failed = failure_of(run)
    assert failed.error is error
    assert failed.message == f"Error executing a: {error.message}"
    assert run.over


CURABLE = [
    errors.DeadlineExceeded(),
    errors.WorkerDied("signal 9"),
    errors.ResponseTimeout(seconds=1),
    errors.WorkersUnavailable(model="m", cause="they do not start"),
    errors.HandlerRefused("busy", 503),
]


@pytest.mark.parametrize("error", CURABLE, ids=lambda error: type(error).__name__)
def test_what_another_attempt_may_cure_is_tried_again_after_a_pause(error: errors.ServingError) -> None:
    run = begun(execution("a"))
    run.failed("a", 0, error, 1.0)

    (pause,) = taken(run)
    assert isinstance(pause, BackOff)
    assert pause.until > 1.0

    run.backoff_passed("a", 0, pause.until)
    assert taken(run) == [Submit("a", 1, pause.until + TIMEOUT_S)]


def test_pauses_grow() -> None:
    run = begun(execution("a", retries=20))
    pauses = []
    for attempt in range(20):
        run.failed("a", attempt, errors.DeadlineExceeded(), 0.0)
        (pause,) = taken(run)
        assert isinstance(pause, BackOff)
        pauses.append(pause.until)
        run.backoff_passed("a", attempt, 0.0)
        taken(run)

    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[3] <= pauses[-1] <= 1.0


def test_attempts_end_with_those_allowed() -> None:
    run = begun(execution("a", retries=1))
    run.failed("a", 0, errors.DeadlineExceeded(), 1.0)
    run.backoff_passed("a", 0, 2.0)
    taken(run)
    run.failed("a", 1, errors.DeadlineExceeded(), 3.0)

    assert failure_of(run).message == "Error executing a: The node did not answer within its timeout-ms, 10000."
    assert run.attempts() == {"a": 2}


def test_a_request_that_kills_its_workers_kills_no_third_one() -> None:
    run = begun(execution("a", retries=10))
    run.failed("a", 0, errors.WorkerDied("signal 11"), 1.0)
    run.backoff_passed("a", 0, 2.0)
    taken(run)
    run.failed("a", 1, errors.WorkerDied("signal 11"), 3.0)

    assert isinstance(failure_of(run).error, errors.WorkerDied)


def test_a_node_without_retries_is_tried_once() -> None:
    run = begun(execution("a", retries=0))
    run.failed("a", 0, errors.DeadlineExceeded(), 1.0)

    assert isinstance(failure_of(run).error, errors.NodeTimeout)


def test_what_the_caller_has_seen_a_part_of_is_not_tried_again() -> None:
    run = begun(execution("a", retries=5))
    run.seen("a")
    run.failed("a", 0, errors.WorkerDied("signal 9"), 1.0)

    assert isinstance(failure_of(run).error, errors.WorkerDied)


def test_one_node_that_fails_ends_the_others() -> None:
    run = diamond()
    run.replied("a", 0, b"A", 1.0)
    taken(run)
    run.failed("b", 0, errors.HandlerRaised(), 2.0)

    cancelled, failed = taken(run)
    assert cancelled == CancelAttempt("c")
    assert isinstance(failed, Fail)
    run.replied("c", 0, b"C", 3.0)
    assert taken(run) == []


def test_what_was_not_submitted_yet_is_not_when_a_sibling_is_refused() -> None:
    run = diamond()
    run.replied("a", 0, b"A", 1.0)
    run.actions.popleft()  # "b" is being submitted
    run.failed("b", 0, errors.QueueFull("m"), 1.0)

    assert not [action for action in taken(run) if isinstance(action, Submit)]


# ---------------------------------------------------------------------------------------------- time


def test_no_attempt_outlives_the_deadline_of_the_request() -> None:
    run = execution("ab", "ab", deadline=5.0)
    run.begin(0.0)
    assert taken(run) == [Submit("a", 0, 5.0)]
    run.replied("a", 0, b"A", 4.0)
    assert taken(run) == [Submit("b", 0, 5.0)]


def test_after_the_deadline_there_is_no_other_attempt() -> None:
    run = begun(execution("a", deadline=5.0, retries=9))
    run.failed("a", 0, errors.DeadlineExceeded(), 5.0)

    failed = failure_of(run)
    assert type(failed.error) is errors.DeadlineExceeded


def test_a_pause_that_would_pass_the_deadline_is_not_waited_for() -> None:
    run = begun(execution("a", deadline=5.0))
    run.failed("a", 0, errors.WorkerDied("signal 9"), 4.99)

    assert isinstance(failure_of(run).error, errors.WorkerDied)


# ---------------------------------------------------------------------------------------------- leaving, and lateness


def test_a_caller_that_leaves_has_everything_cancelled_and_gets_no_answer() -> None:
    run = diamond()
    run.replied("a", 0, b"A", 1.0)
    taken(run)
    run.cancel()

    assert taken(run) == [CancelAttempt("b"), CancelAttempt("c")]
    run.replied("b", 0, b"B", 2.0)
    run.failed("c", 0, errors.HandlerRaised(), 2.0)
    run.cancel()
    assert taken(run) == []


def test_a_caller_that_leaves_during_a_pause_ends_it() -> None:
    run = begun(execution("a"))
    run.failed("a", 0, errors.DeadlineExceeded(), 1.0)
    taken(run)
    run.cancel()
    run.backoff_passed("a", 0, 2.0)

    assert taken(run) == []


def test_a_reply_of_an_attempt_that_was_superseded_is_ignored() -> None:
    run = begun(execution("ab", "ab"))
    run.failed("a", 0, errors.DeadlineExceeded(), 1.0)
    run.backoff_passed("a", 0, 2.0)
    taken(run)
    run.replied("a", 0, b"late", 3.0)
    assert taken(run) == []

    run.replied("a", 1, b"A", 4.0)
    assert run.inputs_of("b") == [Input("body", "", b"A")]


def test_a_pause_passes_once() -> None:
    run = begun(execution("a", retries=5))
    run.failed("a", 0, errors.DeadlineExceeded(), 1.0)
    run.backoff_passed("a", 0, 2.0)
    taken(run)
    run.backoff_passed("a", 0, 2.0)

    assert taken(run) == []
