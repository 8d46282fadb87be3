from __future__ import annotations

from collections import Counter

import pytest
from simulation.laws import Broken
from simulation.workflows import Faults, WorkflowWorld

from stoker import errors
from stoker.workflows import execution
from stoker.workflows.execution import Execution

SEEDS = range(250)


def test_the_laws_of_workflows_hold_over_random_graphs_and_faults() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        seen += WorkflowWorld(seed).run()

    for what in ("NoneType", "retried", "WorkerDied", "NodeTimeout", "DeadlineExceeded", "Cancelled", "HandlerRaised"):
        assert seen[what] > 10, f"{what} hardly ever happened: {seen}"


def test_without_faults_every_request_is_answered_and_every_node_runs_once() -> None:
    calm = Faults(death=0, hang=0, handler_error=0, deadline=0, leaves=0)
    for seed in range(100):
        world = WorkflowWorld(seed, faults=calm)
        if all(node.serving.timeout_s < 1 for node in world.graph.nodes.values()):
            continue  # a busy node may be too slow for it
        counts = world.run()
        assert counts == {"NoneType": 25, "jobs": 25 * len(world.graph.nodes)}


def broken(seeds: range = SEEDS) -> str:
    """Runs seeds until a law breaks and returns which."""
    with pytest.raises(Broken) as law:
        for seed in seeds:
            WorkflowWorld(seed).run()
    return str(law.value)


def test_a_sibling_that_is_not_cancelled_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Execution) -> None:
        self.over = True
        self.actions.clear()

    monkeypatch.setattr(Execution, "_stop", stop)
    assert "a node of it runs" in broken()


def test_a_retry_too_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_most_retries", lambda error, allowed: allowed + 1)
    assert "times for" in broken()


def test_a_reply_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    replied = Execution.replied

    def forgetful(self: Execution, node: str, attempt: int, output: bytes, now: float) -> None:
        if not (node == "n0" and output.endswith(b"=<7>)")):
            replied(self, node, attempt, output, now)

    monkeypatch.setattr(Execution, "replied", forgetful)
    assert "ended 0 times" in broken()


def test_a_failure_that_is_taken_for_an_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(self: Execution, node: str, attempt: int, error: errors.ServingError, now: float) -> None:
        self.replied(node, attempt, b"", now)

    monkeypatch.setattr(Execution, "failed", failed)
    assert "another answer" in broken()
