"""What handlers record and print, and what becomes of it."""

from __future__ import annotations

import pytest
from metrics_rig import Rig, jobs, sample, undated

from stoker.core.measures import HandlerSample
from stoker.telemetry import metric_lines
from stoker.telemetry.family import MAX_SERIES
from stoker.telemetry.model_metrics import MAX_DETECTED

TIME = "#hostname:w,1700000000"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"[METRICS]HandlerTime.Milliseconds:1.5|#ModelName:m,Level:Model|#type:GAUGE|{TIME},r0,r1",
            HandlerSample(
                "HandlerTime", "gauge", "Milliseconds", [("ModelName", "m"), ("Level", "Model")], 1.5, "r0,r1"
            ),
        ),
        (f"[METRICS]Seen.Count:3|#Level:Model|#type:COUNTER|{TIME}", ("Seen", "counter", "Count", 3.0, "")),
        (f"[METRICS]D.Seconds:1e-05|#Level:Model|#type:HISTOGRAM|{TIME}", ("D", "histogram", "Seconds", 1e-05, "")),
        (f"[METRICS]Old.unit:-2|#Level:Model|{TIME},r0", ("Old", "gauge", "unit", -2.0, "r0")),
        (f"[METRICS]With.Dots.Count:1|#A:b:c|#type:COUNTER|{TIME}", ("With.Dots", "counter", "Count", 1.0, "")),
        (f"[METRICS] Bare.Count:1|#|#type:COUNTER|{TIME}", ("Bare", "counter", "Count", 1.0, "")),
        ("[METRICS]Failed to update metric with name:A and dimensions: [] with value: 1: no", None),
        ("[METRICS]", None),
        ("[METRICS]A.Count:many|#|#hostname:w,1", None),
        ("[METRICS]A:1|#|#hostname:w,1", None),
    ],
)
def test_a_printed_line_is_read_as_torchserve_reads_it(line: str, expected: object) -> None:
    found = metric_lines.parse(line)
    if found is not None and not isinstance(expected, HandlerSample):
        assert (found.name, found.type, found.unit, found.value, found.request_ids) == expected
    else:
        assert found == expected


async def test_a_printed_metric_and_a_recorded_one_are_logged_alike() -> None:
    rig = Rig("log")
    assert rig.model().printed(f"[METRICS]HandlerTime.ms:2|#ModelName:m,Level:Model|#type:GAUGE|{TIME},r0,r1")
    rig.model().recorded(sample("HandlerTime", 2))
    rig.flush()
    first, second = undated(rig.model_lines)
    assert first == second == "HandlerTime.ms:2.0|#ModelName:m,Level:Model|#hostname:h,requestID:r0,r1"


def test_what_is_no_metric_is_left_to_the_log() -> None:
    assert not Rig("log").model().printed("[METRICS]Failed to update metric with name:A")


async def test_what_the_file_does_not_name_is_dropped_unless_metrics_are_detected() -> None:
    for detect in (False, True):
        rig = Rig("log", auto_detect=detect)
        rig.model().recorded(sample("Mine", 1, "counter", "Count"))
        rig.flush()
        assert bool(rig.model_lines) == detect


async def test_an_error_has_no_request_id_in_its_line() -> None:
    rig = Rig("log", auto_detect=True)
    rig.model().recorded(HandlerSample("Errors", "counter", "unit", [("Level", "Error")], 1.0, ""))
    rig.flush()
    assert undated(rig.model_lines) == ["Errors.unit:1.0|#Level:Error|#hostname:h"]


def test_dimensions_are_matched_by_name_and_where_they_have_others_by_place() -> None:
    rig = Rig("prometheus")
    rig.model().recorded(HandlerSample("HandlerTime", "gauge", "ms", [("Level", "Model"), ("ModelName", "m")], 1.0, ""))
    rig.model().recorded(HandlerSample("HandlerTime", "gauge", "ms", [("Name", "x"), ("Stage", "y")], 2.0, ""))
    assert 'HandlerTime{ModelName="m",Level="Model",Hostname="h",} 1.0' in rig.text
    assert 'HandlerTime{ModelName="x",Level="y",Hostname="h",} 2.0' in rig.text


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (HandlerSample("HandlerTime", "gauge", "ms", [("Level", "Model")], 1.0, ""), "values for the dimensions"),
        (sample("Down", -1, "counter", "Count"), "a counter cannot decrease"),
        (sample("Not a name", 1), "Prometheus does not allow this name"),
        (sample("Odd", 1, **{"not-a-label": "x"}), "Prometheus does not allow this name"),
        (sample("Requests2XX", 1), "the server has a metric with this name"),
        (sample("stoker_workers", 1), "the server has a metric with this name"),
    ],
)
def test_a_metric_that_cannot_be_is_dropped_and_logged_once(
    bad: HandlerSample, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig("prometheus", auto_detect=True)
    rig.model()
    before = rig.text
    rig.model().recorded(bad)
    rig.model().recorded(bad)
    assert [line for line in rig.text.splitlines() if line not in before and not line.startswith("#")] == []
    assert len(caplog.records) == 1
    assert reason in caplog.text


def test_a_million_label_values_do_not_grow_the_server(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("prometheus", auto_detect=True)
    for kind in ("counter", "gauge", "histogram"):
        caplog.clear()
        for number in range(3 * MAX_SERIES):
            rig.model().recorded(sample(f"Many_{kind}", 1, kind, Row=str(number)))
        suffix = "_count" if kind == "histogram" else ""
        assert rig.text.count(f"\nMany_{kind}{suffix}{{") == MAX_SERIES
        assert len(caplog.records) == 1
        rig.model().recorded(sample(f"Many_{kind}", 1, kind, Row="5"))  # one that is known goes on
    assert 'Many_counter{ModelName="m",Level="Model",Row="5",Hostname="h",} 2.0' in rig.text


def test_thousands_of_names_do_not_grow_the_server_either(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("prometheus", auto_detect=True)
    for number in range(2 * MAX_DETECTED):
        rig.model().recorded(sample(f"Name_{number}", 1))
    assert rig.text.count("\nName_") == MAX_DETECTED
    assert len(caplog.records) == 1


async def test_a_forged_line_end_stays_in_its_line() -> None:
    rig = Rig("log", auto_detect=True)
    rig.model().recorded(sample("Odd", 1, Path="a\n2026-01-01T00:00:00,000 - Forged.Count:1"))
    rig.flush()
    assert len(rig.model_lines) == 1


async def test_the_time_of_a_prediction_is_kept_with_two_decimals_and_all_request_ids() -> None:
    rig = Rig("log")
    rig.predicted(0.0123456, jobs("r0", "r1", "r2"))
    rig.flush()
    assert undated(rig.model_lines) == [
        "PredictionTime.ms:12.35|#ModelName:m,Level:Model|#hostname:h,requestID:r0,r1,r2"
    ]
