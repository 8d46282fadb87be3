"""What h2load and wrk print is read right, and a failed call hidden behind HTTP 200 is found by its missing bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import wrk

from stoker.bench import h2load
from stoker.bench.contender import WireRequest
from stoker.bench.loads import Load

H2LOAD = """\
starting benchmark...
finished in 3.01s, 4524.00 req/s, 446.21KB/s
requests: 13572 total, 13588 started, 13572 done, 13572 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 13572 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.30MB (1370772) total, 58.05KB (59430) headers (space savings 94.69%), 941.03KB (963612) data
                     min         max         mean         sd        +/- sd
time for request:      656us     15.37ms      3.38ms      1.85ms    82.63%
"""
WRK = """\
Running 3s test @ http://127.0.0.1:8000/predict
  3000 requests in 3.00s, 1.21MB read
FIGURES {"requests": 3000, "us": 3001000, "bytes": 1268000, "status": 0, "socket": 0, "timeout": 0, \
"p50": 1500.000000, "p90": 2500.000000, "p99": 9000.000000, "max": 20000.000000}
"""


def load(**choices: object) -> Load:
    wish = {"concurrency": 16, "duration_s": 3.0, "answer_bytes": 71} | choices
    request = WireRequest(path="/a.S/M", body=b"x", headers=(("name", 'a "quoted" value'),))
    return Load(endpoint="127.0.0.1:1", wire="grpc", request=request, **wish)  # type: ignore[arg-type]


def test_a_report_of_h2load_is_read() -> None:
    report = h2load.parse(H2LOAD)
    assert report is not None
    assert (report.seconds, report.done, report.succeeded, report.failed) == (3.01, 13572, 13572, 0)
    assert report.data_bytes == 963612 == 13572 * 71


def test_requests_under_way_at_the_end_may_bring_an_answer_each_but_no_more() -> None:
    assert problem_with(963612) is None
    assert problem_with(963612 + 16 * 71) is None
    assert "bytes came back" in (problem_with(963612 + 17 * 71) or "")


def test_answers_without_a_message_are_errors_although_http_says_200() -> None:
    assert "bytes came back" in (problem_with(963612 - 71) or "")


def problem_with(data_bytes: int) -> str | None:
    output = H2LOAD.replace("963612", str(data_bytes))
    return h2load.result(load(), output, ["1\t200\t500"], 0.1, None).problem


def test_no_answer_at_all_is_a_problem() -> None:
    output = H2LOAD.replace("13572 succeeded", "0 succeeded").replace("963612", "0")
    assert h2load.result(load(), output, [], 0.1, None).problem == "no request was answered"


def test_output_that_is_no_report_is_a_problem_not_a_figure() -> None:
    result = h2load.result(load(), "unexpected", [], 0.1, None)
    assert (result.problem, result.rate) == ("h2load printed no report", 0.0)


@pytest.mark.parametrize(("text", "seconds"), [("900.00ms", 0.9), ("750us", 0.00075), ("1.50m", 90.0)])
def test_units_of_time_are_understood(text: str, seconds: float) -> None:
    report = h2load.parse(H2LOAD.replace("3.01s", text))
    assert report is not None and report.seconds == pytest.approx(seconds)


def test_latencies_come_from_the_log_of_single_requests_and_only_from_answers() -> None:
    lines = ["1795492078710101\t200\t4881", "1795492078710102\t-1\t99999", "broken", "1795492078710103\t200\t1000"]
    assert h2load.parse_log(lines) == [4.881, 1.0]


def test_the_body_is_framed_as_grpc_wants_it() -> None:
    assert h2load.grpc_frame(b"abc") == b"\x00\x00\x00\x00\x03abc"


def test_the_command_names_path_headers_and_concurrency() -> None:
    command = h2load.command(load(), Path("body"), Path("log"))
    assert command[-1] == "http://127.0.0.1:1/a.S/M"
    assert command[command.index("-c") + 1] == "16"
    assert "content-type: application/grpc" in command


@pytest.mark.parametrize(("asked", "given"), [(0.2, 1), (1.0, 1), (3.4, 4)])
def test_h2load_gets_whole_seconds(asked: float, given: int) -> None:
    assert h2load.whole_seconds(asked) == given


def test_figures_of_wrk_are_read() -> None:
    result = wrk.result(WRK, 0.5, None)
    assert (result.requests, result.seconds, result.failed) == (3000, 3.001, 0)
    assert result.latencies_ms == {"p50": 1.5, "p90": 2.5, "p99": 9.0, "max": 20.0}
    assert result.problem is None


def test_answers_that_wrk_calls_errors_do_not_count_as_answered() -> None:
    result = wrk.result(WRK.replace('"status": 0', '"status": 3000'), 0.5, None)
    assert (result.requests, result.failed, result.problem) == (0, 3000, "no request was answered")


def test_output_of_wrk_without_figures_is_a_problem() -> None:
    assert wrk.result("unable to connect", 0.1, None).problem == "wrk printed no figures"


def test_the_script_for_wrk_cannot_be_broken_by_what_a_header_holds() -> None:
    script = wrk.script(load(), Path("/tmp/b"))
    assert 'wrk.headers["name"] = "a \\034quoted\\034 value"' in script
    assert wrk.lua_text('x"]]\n') == '"x\\034]]\\010"'
