"""Each measurement keeps how fast the cores were around it; the report says how much that varied."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from benchmarks import core_speed, records, report
from benchmarks.records import Findings

from stoker.bench.measure import Measured

MEASURED = Measured(rate=1.0)


class Affinity:
    """The cores of this thread, which binding it changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.cores = self.all = set(range(count))
        self.bound: list[set[int]] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(self.cores), raising=False)
        monkeypatch.setattr(os, "sched_setaffinity", self.set, raising=False)

    def set(self, pid: int, cores: set[int]) -> None:
        assert pid == 0
        self.cores = cores
        self.bound.append(cores)


def test_the_work_is_timed_on_each_core_as_the_fastest_of_its_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = Affinity(monkeypatch, 2)
    times = iter([3.0, 1.0, 2.0, 4.0, 8.0, 6.0, 5.0, 7.0])
    monkeypatch.setattr(core_speed, "_work_ms", lambda: next(times))
    assert core_speed.time_cores() == [1.0, 5.0]
    assert affinity.bound == [{0}, {1}, {0, 1}]


def test_the_cores_of_the_thread_are_restored_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = Affinity(monkeypatch, 2)
    monkeypatch.setattr(core_speed, "_work_ms", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        core_speed.time_cores()
    assert affinity.cores == affinity.all


def test_a_core_that_cannot_be_bound_to_ends_the_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = Affinity(monkeypatch, 2)

    def gone(pid: int, cores: set[int]) -> None:
        if cores == {1}:
            raise OSError
        affinity.set(pid, cores)

    monkeypatch.setattr(os, "sched_setaffinity", gone)
    assert core_speed.time_cores() == []
    assert affinity.cores == affinity.all


@pytest.mark.parametrize(("count", "timed"), [(1, 1), (16, 16), (17, 9), (96, 16)])
def test_of_many_cores_some_are_timed_from_all_over(monkeypatch: pytest.MonkeyPatch, count: int, timed: int) -> None:
    affinity = Affinity(monkeypatch, count)
    monkeypatch.setattr(core_speed, "_work_ms", lambda: 1.0)
    assert len(core_speed.time_cores()) == timed
    assert max(affinity.bound[-2]) >= count - 6


def test_a_measurement_comes_with_the_mean_over_the_cores_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = iter([[1.0, 2.0], [1.0, 1.0]])
    monkeypatch.setattr(core_speed, "time_cores", lambda: next(timings))
    assert core_speed.around(lambda: MEASURED) == (MEASURED, 1.25)


def test_a_measurement_is_made_all_the_same_where_threads_cannot_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(pid: int, cores: set[int]) -> None:
        raise PermissionError

    Affinity(monkeypatch, 2)
    monkeypatch.setattr(os, "sched_setaffinity", denied)
    assert core_speed.around(lambda: MEASURED) == (MEASURED, None)
    monkeypatch.delattr(os, "sched_setaffinity")
    assert core_speed.around(lambda: MEASURED) == (MEASURED, None)


def found(*core_ms: float | None) -> Findings:
    facts = {"cpu": "A CPU", "cores": "2", "memory_gib": "4", "kernel": "6", "python": "3.11", "java": "17"}
    findings = Findings(machine=facts, options={"rounds": 1, "duration_s": 1.0, "quick": False})
    for turn, time in enumerate(core_ms):
        findings.add("a 1KiB c=1", "stoker-nghttp2", turn, MEASURED, time)
    return findings


def test_the_report_says_how_much_the_speed_of_the_cores_varied() -> None:
    text = report.markdown(found(1.5, None, 0.8, 1.0), picture="x.svg")
    assert "took 1.25 (1.00-1.88) times the shortest time of the run, 0.80 ms" in text
    assert "of 3 measurements" in text


@pytest.mark.parametrize("core_ms", [(None, None), (1.0, None)])
def test_the_report_says_nothing_of_cores_that_were_timed_for_one_measurement_at_most(
    core_ms: tuple[float | None, ...],
) -> None:
    assert "piece of work" not in report.markdown(found(*core_ms), picture="x.svg")


def test_the_speed_of_the_cores_is_saved_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    findings = found(1.5, None)
    findings.save(file)
    assert records.load(file) == findings


def test_results_saved_before_cores_were_timed_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    findings = found(None)
    findings.save(file)
    raw = json.loads(file.read_text())
    for record in raw["records"]:
        del record["core_ms"]
    file.write_text(json.dumps(raw))
    assert records.load(file) == findings
