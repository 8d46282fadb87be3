"""The suite's checks find wrong answers, its plan fits its time, its handlers hold their laws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks import plan, probes, rest, runner, scraping
from benchmarks.contenders import everyone
from benchmarks.group import Group
from benchmarks.handlers import digest
from benchmarks.workload import SPOKEN
from benchmarks.workspace import Options, Workspace

from stoker.bench import handler_host, measure
from stoker.bench.contender import Deployment, Model, WireRequest
from stoker.bench.contenders import TorchServe, settings
from stoker.bench.loads import Load, LoadResult
from stoker.bench.venvs import last_line
from stoker.config.settings import ROWS
from ts.handler_utils import utils

HANDLERS = Path(__file__).resolve().parents[3] / "benchmarks" / "handlers"


@pytest.fixture(autouse=True)
def own_way_of_sending_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosting a handler replaces the function for good, which is right only in a process of its own."""
    monkeypatch.setattr(utils, "send_intermediate_predict_response", utils.send_intermediate_predict_response)


def test_the_digest_probe_knows_right_from_wrong() -> None:
    probe = probes.digest_probe(1024)
    payload = probe.payload(1)
    right = digest.digest(payload).encode()
    assert probe.check(payload, [right])
    assert not probe.check(payload, [digest.digest(probe.payload(2)).encode()])
    assert not probe.check(payload, [right, right])
    assert len(payload) == 1024 != probe.payload(2)


def test_large_payloads_are_sampled_everywhere() -> None:
    payload = bytearray(2 << 20)
    before = digest.digest(payload)
    payload[-1] = 1
    assert digest.digest(payload) != before
    assert digest.digest(payload) != digest.digest(payload + b"\0")


def test_the_parts_probe_sees_a_lost_part() -> None:
    probe = probes.parts_probe()
    assert probe.check(b"", list(probes.PARTS))
    assert not probe.check(b"", probes.PARTS[:-1])


def test_the_handler_of_batch_size_1_refuses_a_second_row(tmp_path: Path) -> None:
    host = handler_host.load(HANDLERS / "digest_one.py", "DigestOne", HANDLERS)
    assert host.answers([b"x"]) == [digest.digest(b"x").encode()]
    with pytest.raises(AssertionError, match="2 rows"):
        host.answers([b"x", b"y"])


def test_a_handler_that_streams_is_hosted_part_by_part() -> None:
    host = handler_host.load(HANDLERS / "parts.py", "Parts", HANDLERS)
    assert list(host.stream(b"x")) == probes.PARTS


def test_an_error_of_a_hosted_stream_reaches_the_reader(tmp_path: Path) -> None:
    (tmp_path / "h.py").write_text("def handle(data, context):\n    if data: raise ValueError('bad row')\n")
    host = handler_host.load(tmp_path / "h.py", None, tmp_path)
    with pytest.raises(ValueError, match="bad row"):
        list(host.stream(b"x"))


def synthetic(letters: str, options: Options) -> list[Group]:
    """Groups that need no real model."""
    return plan.groups(letters, options, Workspace(Path("unused"), options))


@pytest.mark.parametrize("quick", [True, False])
def test_a_planned_measurement_belongs_to_a_contender(quick: bool) -> None:
    options = Options(quick=quick)
    for group in synthetic("abefhijklmn", options):
        assert group.participants(everyone(), options), group.title
        assert 0 < group.estimate_s(everyone(), options) < 1800


@pytest.mark.parametrize("asked", [1, 3, 7])
def test_slow_groups_have_no_more_rounds_than_asked_for_and_close_ratios_more(asked: int) -> None:
    options = Options(rounds=asked)
    rounds = {group.letter: group.rounds(options) for group in synthetic("aefhijklmn", options)}
    assert rounds == dict.fromkeys("aefhikn", asked) | {"j": 6 * asked, "l": 6 * asked, "m": min(asked, 3)}


def test_a_quick_run_has_one_round_of_everything() -> None:
    options = Options(rounds=1, quick=True)
    assert {group.rounds(options) for group in synthetic("aefhijklmno", options)} == {1}


def test_names_of_points_are_unique() -> None:
    names = [point.name for group in synthetic("abefhijklmnq", Options()) for point in (*group.points, *group.fresh)]
    assert len(names) == len(set(names))


def test_names_of_contenders_are_unique_and_fit_the_command_line() -> None:
    names = [contender.name for contender in everyone()]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and not set(name) & {" ", ","} for name in names)


def test_the_order_of_turns_rotates() -> None:
    assert [runner.rotated("abc", turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert runner.rotated([], 3) == []


def test_warming_up_ends_when_the_rate_has_settled() -> None:
    assert loads_of_warm_up([100, 200, 300, 301, 299, 300]) == 6
    assert loads_of_warm_up([100, 100, 100, 100, 100]) == 4


def test_warming_up_is_bounded() -> None:
    assert loads_of_warm_up([2.0**n for n in range(100)]) == 5


def loads_of_warm_up(rates: list[float]) -> int:
    """How many loads are run where they bring these rates."""
    left: list[Any] = list(rates)
    load = Load(endpoint="", wire="grpc", request=WireRequest(path="", body=b""), concurrency=1, duration_s=2.0)
    most_s = 10.0 if len(rates) > 50 else 100.0
    measure.warm_up(load, lambda _: LoadResult(requests=int(left.pop(0)), seconds=1), patience=3, most_s=most_s)
    return len(rates) - len(left)


def test_a_load_between_wrong_answers_is_not_run() -> None:
    checker = SimpleNamespace(several=lambda count: SimpleNamespace(asked=2, wrong=["no"], problem=lambda: "no"))
    measured = measure.watched(SimpleNamespace(), checker, pytest.fail)  # type: ignore[arg-type]
    assert measured.problem == "no"


def test_why_an_installation_failed_is_reported_in_one_line() -> None:
    text = "Collecting x\nERROR: No matching distribution found for x\nnotice: a new release is there\n"
    assert last_line(text) == "ERROR: No matching distribution found for x"
    assert last_line("") == "no reason given"


# ------------------------------------------------------------------------------------ REST, metrics on and off


def deployment(scratch: Path) -> Deployment:
    model = Model(
        name="m", archive=scratch / "m.mar", handler_file=scratch, handler_class=None, folder=scratch, manifest={}
    )
    return Deployment(model=model, home=scratch, scratch=scratch, port=1, more_ports=(2, 3, 4, 5, 6))


def test_over_rest_the_port_under_load_is_that_of_the_rest_api(tmp_path: Path) -> None:
    passed = settings(rest.rest_first(deployment(tmp_path)))
    assert passed["inference_address"] == "http://127.0.0.1:1"
    ports = [passed[f"grpc_{name}_port"] for name in ("inference", "management")]
    ports += [passed[f"{name}_address"].rpartition(":")[2] for name in ("inference", "management", "metrics")]
    assert sorted(ports) == ["1", "2", "3", "4", "5"], "each listener has a port of its own"


def test_over_rest_the_payload_is_the_body_and_the_answer_too(tmp_path: Path) -> None:
    api = rest.rest_api(SimpleNamespace(endpoint="elsewhere"), deployment(tmp_path))  # type: ignore[arg-type]
    request = api.request(b"payload")
    assert (request.path, request.body) == ("/predictions/m", b"payload")
    assert request.headers == (("Content-Type", "application/octet-stream"),)
    assert api.endpoint == "127.0.0.1:1" and api.answer(b"x") == b"x"


@pytest.mark.parametrize(
    ("letter", "names"),
    [
        ("i", ["stoker-rest", "torchserve-rest", "mosec"]),
        ("j", ["stoker-observed", "stoker-unobserved"]),
        ("k", ["stoker-tls", "torchserve-tls"]),
        ("l", ["stoker-nghttp2", "stoker-public"]),
        ("m", [f"stoker-crowded-{wire}" for wire in SPOKEN]),
        ("q", ["stoker-bombed"]),
    ],
)
@pytest.mark.parametrize("quick", [True, False])
def test_rest_metrics_tls_and_listeners_are_between_their_own_servers(
    letter: str, names: list[str], quick: bool
) -> None:
    options = Options(quick=quick)
    (group,) = synthetic(letter, options)
    assert [contender.name for contender in group.participants(everyone(), options)] == names
    own = set(names) - {"mosec", "stoker-nghttp2"}
    for other in synthetic("abefh", options):
        assert not {contender.name for contender in other.participants(everyone(), options)} & own


def test_one_program_over_two_protocols_is_installed_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, Options())
    assert workspace.venv(rest.TorchServeRest()) == workspace.venv(TorchServe())


def test_the_observed_server_differs_in_nothing_but_metrics_access_log_and_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []

    def start(_: object, __: object, extra: dict[str, str], *, quiet: bool) -> None:
        assert not quiet, "loggers at WARN would silence the access log"
        passed.append(extra)

    monkeypatch.setattr(rest, "start_torchserve", start)
    on, off = (rest.StokerObserved(on=on).start(deployment(tmp_path)) for on in (True, False))
    on_settings = {"metrics_mode": "prometheus", "access_log": "true", "console_log": "all"}
    off_settings = {"metrics_mode": "off", "access_log": "false", "console_log": "server"}
    assert passed[0] == {"grpc_engine": "nghttp2", **on_settings}
    assert passed[1] == {"grpc_engine": "nghttp2", **off_settings}
    assert all(ROWS[key].field for key in passed[0]), "settings that are read"
    assert on.metrics_url == "http://127.0.0.1:5/metrics"  # type: ignore[attr-defined]
    assert not hasattr(off, "metrics_url")


def test_a_scrape_that_fails_or_brings_no_counter_spoils_the_measurement() -> None:
    def refused(_: str) -> bytes:
        raise ConnectionRefusedError("no")

    for read, problem in (
        (lambda _: b'ts_inference_requests_total{model_name="m"} 1.0\n', None),
        (lambda _: b"", "a scrape had no counter of requests"),
        (refused, "a scrape failed: no"),
    ):
        with scraping.scraping("", read=read) as scrapes:
            pass
        assert scrapes.count >= 1 and scrapes.problem == problem
