"""The figures: from a run's records to reached or missed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import figures, records, report
from benchmarks.records import Findings
from benchmarks.special_figures import slopes
from benchmarks.verdicts import Row

from stoker.bench.measure import Measured

MACHINE = {"cpu": "A CPU", "cores": "2", "memory_gib": "4", "kernel": "6", "python": "3.11", "java": "17"}
OPTIONS = {"rounds": 2, "duration_s": 2.0, "quick": False}


def findings(*values: tuple[str, str, list[Measured]]) -> Findings:
    found = Findings(machine=MACHINE, options=dict(OPTIONS))
    for point, contender, rounds in values:
        for turn, measured in enumerate(rounds):
            found.add(point, contender, turn, measured)
    return found


def rates(*rates: float) -> list[Measured]:
    return [Measured(rate=rate, latencies_ms={"p50": rate}) for rate in rates]


def row(found: Findings, name: str) -> Row:
    return next(row for row in figures.rows(found) if row.name == name)


@pytest.mark.parametrize(("ours", "verdict"), [(1800.0, "aim reached"), (1200.0, "bar reached"), (1190.0, "missed")])
def test_throughput_must_be_at_least_its_bar(ours: float, verdict: str) -> None:
    found = findings(
        ("a 1KiB c=64", "stoker-nghttp2", rates(ours, ours)), ("a 1KiB c=64", "torchserve", rates(100, 100))
    )
    assert row(found, "P1").verdict == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(0.18, "aim reached"), (0.25, "bar reached"), (0.26, "missed")])
def test_latency_must_be_at_most_its_bar(ours: float, verdict: str) -> None:
    found = findings(("a 1KiB c=1", "stoker-nghttp2", rates(ours)), ("a 1KiB c=1", "torchserve", rates(1.0)))
    assert row(found, "P3").verdict == verdict


def test_rounds_with_a_problem_count_for_nobody() -> None:
    broken = Measured(rate=1e9, problem="wrong answer")
    found = findings(
        ("a 1KiB c=64", "stoker-nghttp2", [broken, *rates(300)]), ("a 1KiB c=64", "torchserve", rates(1, 100))
    )
    ratio = row(found, "P1").ratio
    assert ratio is not None and (ratio.median, ratio.count) == (3.0, 1)
    assert row(found, "P1").verdict == "missed"


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert {row.verdict for row in figures.rows(findings())} == {"not measured"}


def test_a_slope_is_rise_over_run() -> None:
    found = findings(("f 10MB", "stoker-nghttp2", rates(30.0)), ("f 50MB", "stoker-nghttp2", rates(90.0)))
    assert slopes(found, "stoker-nghttp2") == {0: 1.5}


def test_the_slope_is_judged_against_the_server_that_passes_the_payload_to_nobody() -> None:
    found = findings(
        ("f 10MB", "stoker-nghttp2", rates(20.0)),
        ("f 50MB", "stoker-nghttp2", rates(60.0)),
        ("f 10MB", "bare-grpc-aio", rates(20.0)),
        ("f 50MB", "bare-grpc-aio", rates(100.0)),
        ("f 10MB", "torchserve", rates(10.0)),
        ("f 50MB", "torchserve", rates(10.0)),
    )
    slope = row(found, "P6b")
    assert slope.verdict == "bar reached"
    assert slope.ours == "1.00 ms/MB"
    assert slope.ratio is not None and slope.ratio.median == 0.5


@pytest.mark.parametrize(("share", "verdict"), [(0.7, "aim reached"), (1.0, "bar reached"), (1.01, "missed")])
def test_a_workflow_is_judged_against_the_calls_that_it_replaces(share: float, verdict: str) -> None:
    measured = Measured(latencies_ms={"p50": share}, more={"calls_p50_ms": 1.0, "workflow_share": share})
    judged = row(findings(("n workflow c=1", "stoker-workflow", [measured])), "W1")
    assert (judged.verdict, judged.theirs) == (verdict, "1.00 ms")


@pytest.mark.parametrize(
    ("name", "point", "ours", "theirs", "verdicts"),
    [
        (
            "REST",
            "i 1KiB c=64",
            "stoker-rest",
            "torchserve-rest",
            {16.0: "aim reached", 10.0: "bar reached", 9.9: "missed"},
        ),
        (
            "on/off",
            "j 1KiB c=64",
            "stoker-observed",
            "stoker-unobserved",
            {0.98: "aim reached", 0.93: "bar reached", 0.92: "missed"},
        ),
        (
            "T1",
            "k kept c=64",
            "stoker-tls",
            "torchserve-tls",
            {12.0: "aim reached", 7.0: "bar reached", 6.9: "missed"},
        ),
        (
            "T2",
            "k new c=16",
            "stoker-tls",
            "torchserve-tls",
            {3.0: "aim reached", 1.0: "bar reached", 0.9: "missed"},
        ),
        (
            "T3",
            "l 1KiB c=64",
            "stoker-public",
            "stoker-nghttp2",
            {1.0: "aim reached", 0.97: "bar reached", 0.96: "missed"},
        ),
        ("L", "a 1KiB c=64", "stoker-nghttp2", "bare-ngh2", {0.25: "aim reached", 0.24: "aim missed"}),
    ],
)
def test_rest_tls_listeners_and_measuring_are_judged_between_their_own_two(
    name: str, point: str, ours: str, theirs: str, verdicts: dict[float, str]
) -> None:
    for ratio, verdict in verdicts.items():
        found = findings((point, ours, rates(ratio * 100, ratio * 100)), (point, theirs, rates(100, 100)))
        judged = row(found, name)
        assert judged.verdict == verdict and judged.ratio is not None and judged.ratio.count == 2


def test_every_figure_has_its_row() -> None:
    names = {row.name for row in figures.rows(findings())}
    others = {"P2b", "P6b", "REST", "L", "T1", "T2", "T3", "M1", "B1", "on/off"}
    assert {f"P{n}" for n in range(1, 13)} | others <= names


def test_with_one_client_stoker_must_also_beat_a_bare_server_and_over_rest_mosec() -> None:
    found = findings(
        ("a 1KiB c=1", "stoker-nghttp2", rates(0.2)),
        ("a 1KiB c=1", "torchserve", rates(1.0)),
        ("a 1KiB c=1", "bare-grpc-aio", rates(0.1)),
        ("i 1KiB c=1", "stoker-rest", rates(0.1)),
        ("i 1KiB c=1", "mosec", rates(0.2)),
    )
    verdicts = [row.verdict for row in figures.rows(found) if row.name == "P3"]
    assert verdicts == ["bar reached", "missed", "bar reached"]


def test_memory_that_clients_hold_is_judged_by_its_growth_against_its_budget() -> None:
    grown = [Measured(more={"pss_before_mib": 50.0, "pss_growth_mib": size}) for size in (128.0, 256.0, 300.0)]
    found = findings(("m idle", "stoker-crowded-grpc", grown[2:]), ("m unread", "stoker-crowded-https", grown[1:2]))
    found.add("m half sent", "stoker-crowded-grpcs", 0, grown[2])
    idle, half, unread = (row for row in figures.rows(found) if row.name == "M1" and row.verdict != "not measured")
    assert half.what.endswith("gRPC with TLS") and unread.what.endswith("REST with TLS")
    assert (idle.theirs, idle.verdict) == ("budget 512 MiB", "bar reached")
    assert (half.theirs, half.verdict) == ("budget 256 MiB", "missed")
    assert (unread.ours, unread.verdict) == ("256 MiB", "bar reached")


@pytest.mark.parametrize(("p99_ms", "verdict"), [(50.0, "bar reached"), (50.1, "missed")])
def test_a_neighbour_of_bombs_is_judged_by_its_p99(p99_ms: float, verdict: str) -> None:
    beside, alone = ([Measured(latencies_ms={"p99": value})] for value in (p99_ms, 2.0))
    found = findings(("q REST", "stoker-bombed", beside), ("q alone", "stoker-bombed", alone))
    grpc, rest = (row for row in figures.rows(found) if row.name == "B1")
    assert (rest.verdict, rest.theirs, grpc.verdict) == (verdict, "2.00 ms alone", "not measured")


def test_a_run_comes_back_from_its_file(tmp_path: Path) -> None:
    found = findings(("a 1KiB c=64", "torchserve", rates(1.0, 2.0)))
    found.save(tmp_path / "run.json")
    assert records.load(tmp_path / "run.json") == found


def test_the_report_says_who_failed_and_who_is_absent() -> None:
    found = findings(
        ("a 1KiB c=64", "stoker-nghttp2", rates(10.0, 20.0)),
        ("a 1KiB c=64", "torchserve", [Measured(problem="died"), *rates(5.0)]),
        ("a 1KiB c=64", "other", [Measured(problem="died")]),
    )
    found.absent["ray-serve"] = "no wheel for this Python"
    text = report.markdown(found, picture="x.svg")
    assert "5.00 FAILED 1 of 2" in text
    assert "FAILED (1)" in text
    assert "ray-serve: ABSENT. no wheel for this Python" in text


def test_the_picture_has_a_line_per_contender() -> None:
    found = findings(("a 1KiB c=1", "torchserve", rates(5.0)), ("a 1KiB c=64", "torchserve", rates(9.0)))
    assert report.curves(found, "a 1KiB c=", records.rate)["torchserve"].keys() == {1, 64}
    assert report.picture(found).startswith("<svg")
