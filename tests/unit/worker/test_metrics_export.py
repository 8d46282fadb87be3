"""What a handler records leaves in front of its answer, in the same write; everything else is printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from worker_rig import Rig

from stoker.ipc.to_server import Metrics, Parts, Results
from stoker.worker import metrics, metrics_export
from stoker.worker.context import Context
from stoker.worker.metrics_export import Exporter
from stoker.worker.metrics_types import Dimension
from stoker.worker.streaming import send_intermediate_predict_response


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    exporter = Exporter()
    for module in ("loop", "continuous", "held_parts", "metrics_export"):
        monkeypatch.setattr(f"stoker.worker.{module}.export", exporter)
    rig = Rig(metrics=metrics.new_cache("m", emit=exporter))
    exporter.attach(rig.inbox, rig.connection)
    yield rig
    rig.close()


def count(data: Any, context: Context) -> list[bytes]:
    context.metrics.add_counter("Seen", 2, dimensions=[Dimension("Part", "a")])
    context.metrics.add_time("Took", 1.5, 0)
    return [b"x"] * len(data)


def test_values_of_a_batch_travel_in_one_message_before_its_results_and_in_the_same_write(rig: Rig) -> None:
    writes = []
    write = rig.connection._write
    rig.connection._write = lambda buffers: (writes.append(len(buffers)), write(buffers))  # type: ignore[assignment,return-value]
    rig.predict(b"a", b"b")
    rig.run(count)
    (first, _), (second, _) = rig.server.waiting()
    assert isinstance(first, Metrics)
    assert isinstance(second, Results)
    seen, took = first.samples
    assert (seen.name, seen.type, seen.unit, seen.value) == ("Seen", "counter", "Count", 2.0)
    assert seen.dimensions == [("Part", "a"), ("ModelName", "m"), ("Level", "Model")]
    assert seen.request_ids == "id-1-0,id-1-1"
    assert (took.name, took.request_ids) == ("Took", "id-1-0")
    assert writes == [2]


def test_values_of_a_step_travel_before_its_answers(rig: Rig) -> None:
    rig.predict(b"a")
    rig.predict(b"b")
    rig.run_continuously(count)
    first, *answers = [message for message, _ in rig.server.waiting()]
    assert isinstance(first, Metrics)
    assert [sample.request_ids for sample in first.samples] == ["id-1-0,id-2-0", "id-1-0"]
    assert [type(answer) for answer in answers] == [Results, Results]


def test_the_time_of_a_handler_that_ended_well_comes_with_the_results_and_costs_no_message(rig: Rig) -> None:
    def slow(data: Any, context: Context) -> Any:
        rig.time.now += 0.25
        if data[0]["data"] == b"bad":
            raise ValueError
        return [b"x"]

    rig.predict(b"good")
    rig.predict(b"bad")
    rig.run(slow)
    messages = [message for message, _ in rig.server.waiting()]
    assert [message.seconds for message in messages if isinstance(message, Results)] == [0.25, -1.0]
    assert len(messages) == 2


def test_values_of_a_stream_travel_before_its_parts(rig: Rig) -> None:
    def stream(data: Any, context: Context) -> Any:
        context.metrics.add_counter("Parts", 1)
        send_intermediate_predict_response([b"p"], context.request_ids or {}, "", 200, context)
        return [b"end"]

    rig.predict(b"a")
    rig.run(stream)
    assert [type(message) for message, _ in rig.server.waiting()] == [Metrics, Parts, Results]


def test_what_is_recorded_while_no_batch_runs_is_printed(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.context.metrics.add_counter("Loads", 1, dimensions=[Dimension("Path", "a\nb")])
    printed = capsys.readouterr().out
    assert printed.startswith("[METRICS]Loads.Count:1.0|#Path:a b,ModelName:m,Level:Model|#type:COUNTER|#hostname:")
    assert printed.count("\n") == 1


def test_beyond_all_measure_values_are_printed_so_that_nothing_grows(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_export, "MOST_WAITING", 2500)

    def loud(data: Any, context: Context) -> Any:
        for _ in range(2600):
            context.metrics.add_counter("Seen", 1)
        return [b"x"]

    rig.predict(b"a")
    rig.run(loud)
    sizes = [len(message.samples) for message, _ in rig.server.waiting() if isinstance(message, Metrics)]
    assert sizes == [1000, 1000, 500]
    assert capsys.readouterr().out.count("[METRICS]Seen.Count:1.0|") == 100


def test_text_that_is_no_text_and_text_without_end_reach_the_server_all_the_same(rig: Rig) -> None:
    def odd(data: Any, context: Context) -> Any:
        context.metrics.add_counter("Odd", 1, dimensions=[Dimension("Path", "\udcff"), Dimension("Long", "x" * 10**6)])
        return [b"x"]

    rig.predict(b"a")
    rig.run(odd)
    (message, _), _ = rig.server.waiting()
    assert isinstance(message, Metrics)
    assert dict(message.samples[0].dimensions)["Path"] == "?"
    assert len(dict(message.samples[0].dimensions)["Long"]) == 1024


def test_a_dimension_without_a_name_costs_no_answer(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> list[bytes]:
        context.metrics.add_counter("Seen", 1, dimensions=[Dimension(None, None)])  # type: ignore[arg-type]
        return [b"x"]

    rig.predict(b"a")
    rig.run(handle)
    assert [type(message) for message, _ in rig.server.waiting()] == [Metrics, Results]
