"""Which metrics are logged, which are served, which neither: the table of modes."""

from __future__ import annotations

from pathlib import Path

import pytest
from metrics_rig import KEY, Rig, jobs, metrics_file, sample, undated

THREE = {"ts_inference_requests_total", "ts_inference_latency_microseconds", "ts_queue_latency_microseconds"}
OTHERS = {"Requests2XX", "QueueTime", "WorkerThreadTime", "CPUUtilization"}


def use(rig: Rig) -> None:
    rig.request(queued_s=0.0035, took_s=0.0105)
    rig.metrics.update("CPUUtilization", ("Host",), 12.5)
    rig.predicted(0.00701, jobs("r0", "r1"))
    rig.model().recorded(sample("HandlerTime", 6.5))
    rig.flush()


def logged(rig: Rig) -> set[str]:
    return {line.partition(".")[0] for line in undated(rig.ts_lines)}


def served(rig: Rig) -> set[str]:
    names = {line.split()[2] for line in rig.text.splitlines() if line.startswith("# TYPE")}
    return {name for name in names if not name.startswith("stoker_")}


@pytest.mark.parametrize("off", ["ts_log", "model_log"])
async def test_a_log_that_is_off_gets_nothing_and_the_other_is_as_ever(off: str) -> None:
    both, one = Rig("log"), Rig("log", **{off: None})
    use(both)
    use(one)
    assert (both.ts_lines != [], both.model_lines != []) == (True, True)
    assert undated(one.ts_lines) == ([] if off == "ts_log" else undated(both.ts_lines))
    assert undated(one.model_lines) == ([] if off == "model_log" else undated(both.model_lines))


@pytest.mark.parametrize(
    ("mode", "in_log", "in_text", "models_logged", "ours_served"),
    [
        ("log", THREE | OTHERS, set(), True, False),
        ("prometheus", set(), THREE | OTHERS, False, True),
        ("legacy", OTHERS, THREE, True, True),
        ("off", set(), set(), False, False),
    ],
)
async def test_a_mode_says_where_metrics_go(
    mode: str, in_log: set[str], in_text: set[str], models_logged: bool, ours_served: bool
) -> None:
    rig = Rig(mode)
    if mode == "off":
        assert rig.model().counters is None
        rig.metrics.answered(200)
        rig.flush()
    else:
        use(rig)
    assert logged(rig) == in_log
    assert served(rig) & (THREE | OTHERS) == in_text
    assert bool(rig.model_lines) == models_logged
    assert ("stoker_request_latency_seconds" in rig.text) == ours_served
    assert bool(rig.text) == ours_served


async def test_a_word_that_is_no_mode_counts_as_log_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("loud")
    use(rig)
    assert logged(rig) == THREE | OTHERS
    assert "metrics_mode: 'loud' is not one of log, prometheus, legacy" in caplog.text
    assert caplog.records[0].levelname == "ERROR"


async def test_the_lines_of_the_log_are_torchserves() -> None:
    rig = Rig("log")
    use(rig)
    assert undated(rig.ts_lines) == [
        "CPUUtilization.Percent:12.5|#Level:Host|#hostname:h",
        "Requests2XX.Count:1.0|#Level:Host|#hostname:h",
        "ts_inference_requests_total.Count:1.0|#model_name:m,model_version:default|#hostname:h",
        "ts_inference_latency_microseconds.Microseconds:10500.0|#model_name:m,model_version:default|#hostname:h",
        "ts_queue_latency_microseconds.Microseconds:3500.0|#model_name:m,model_version:default|#hostname:h",
        "QueueTime.Milliseconds:3.0|#Level:Host|#hostname:h",
        "WorkerThreadTime.Milliseconds:4.0|#Level:Host|#hostname:h",
    ]
    assert undated(rig.model_lines) == [
        "PredictionTime.ms:7.01|#ModelName:m,Level:Model|#hostname:h,requestID:r0,r1",
        "HandlerTime.ms:6.5|#ModelName:m,Level:Model|#hostname:h,requestID:r0,r1",
    ]


async def test_what_moves_often_is_one_line_with_what_was_added() -> None:
    rig = Rig("log")
    for _ in range(3):
        rig.metrics.answered(200)
    rig.flush()
    rig.flush()
    rig.metrics.answered(200)
    rig.metrics.answered(400)
    rig.flush()
    assert undated(rig.ts_lines) == [
        "Requests2XX.Count:3.0|#Level:Host|#hostname:h",
        "Requests2XX.Count:1.0|#Level:Host|#hostname:h",
        "Requests4XX.Count:1.0|#Level:Host|#hostname:h",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ts_metrics: {counter: [{unit: Count}]}", "without a name or a unit"),
        ("ts_metrics: {counter: [{name: A, unit: ''}]}", "without a name or a unit"),
        ("model_metrics: {meter: [{name: A, unit: B}]}", "'meter' is not one of counter, gauge, histogram"),
        ("ts_metrics: {counter: [A]}", "is not a metric"),
        ("ts_metrics: [", "it is not YAML"),
        ("just a word", "it has no sections"),
    ],
)
async def test_an_unusable_metrics_file_costs_the_metrics_and_nothing_else(
    text: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig("prometheus", config=metrics_file(tmp_path, text))
    rig.request(queued_s=0, took_s=1)
    assert served(rig) == set()
    assert "stoker_request_latency_seconds_count" in rig.text
    assert reason in caplog.text
    assert caplog.records[0].levelname == "ERROR"
    assert str(tmp_path) not in caplog.text


async def test_a_metric_with_other_dimensions_than_the_server_has_is_logged_once_and_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "ts_metrics: {counter: [{name: Requests2XX, unit: Count, dimensions: [Hostname]}]}"
    rig = Rig("prometheus", config=metrics_file(tmp_path, text))
    rig.metrics.answered(200)
    assert "Requests2XX" not in rig.text
    assert "Requests2XX" not in rig.text
    assert len(caplog.records) == 1


async def test_counters_of_models_that_are_gone_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stoker.telemetry.metrics.MAX_FORGOTTEN", 3)
    rig = Rig("prometheus")
    for number in range(10):
        rig.request(KEY._replace(name=f"m{number}"), queued_s=0, took_s=1)
    rig.request(KEY._replace(name="m9"), queued_s=0, took_s=1)
    found = [line for line in rig.text.splitlines() if line.startswith("stoker_request_latency_seconds_count")]
    assert len(found) == 3
    assert found[-1] == 'stoker_request_latency_seconds_count{model="m9",version="1.0"} 2'
