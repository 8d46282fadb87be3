from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stoker.handlers.micro_batching import HANDLER_METHODS, MicroBatching
from stoker.worker import metrics
from stoker.worker.context import Context, RequestProcessor
from stoker.worker.metrics_types import Sample


class Handler:
    """Passes numbers on; remembers who ran what."""

    context: Context

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.sizes: list[int] = []

    def preprocess(self, data: list[int]) -> list[int]:
        self.sizes.append(len(data))
        self.threads.add(threading.current_thread().name)
        return data

    def inference(self, data: list[int]) -> list[int]:
        if 13 in data:
            raise KeyError("thirteen")
        self.threads.add(threading.current_thread().name)
        return [number * 2 for number in data]

    def postprocess(self, data: list[int]) -> list[int]:
        return data

    def _is_describe(self) -> bool:
        return self.context.get_request_header(0, "describe") == "True"

    def _is_explain(self) -> bool:
        return self.context.get_request_header(0, "explain") == "True"

    def describe_handle(self) -> Any:
        return "described"

    def explain_handle(self, prepared: Any, raw: Any) -> Any:
        return ["explained", len(prepared)]


@pytest.fixture
def batching() -> Iterator[MicroBatching]:
    batching = MicroBatching(Handler(), micro_batch_size=2)
    yield batching
    batching.shutdown()


def test_answers_come_in_the_order_of_the_rows(batching: MicroBatching) -> None:
    batching.parallelism = {"preprocess": 3, "inference": 2, "postprocess": 3}
    for _ in range(20):
        assert batching.handle(list(range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(batching.handler.sizes[:4]) == [1, 2, 2, 2]


def test_each_step_has_its_own_threads(batching: MicroBatching) -> None:
    batching.handle([1, 2, 3])
    assert batching.handler.threads == {"preprocess-0", "inference-0"}


def test_steps_of_different_slices_overlap() -> None:
    """Both must be inside at once, or the barrier breaks."""
    barrier = threading.Barrier(2, timeout=20)

    class Meeting(Handler):
        def preprocess(self, data: list[int]) -> list[int]:
            if data == [2]:
                barrier.wait()
            return data

        def inference(self, data: list[int]) -> list[int]:
            if data == [1]:
                barrier.wait()
            return data

    batching = MicroBatching(Meeting())
    assert batching.handle([1, 2]) == [1, 2]
    batching.shutdown()


def test_an_exception_reaches_the_caller_and_the_next_batch_is_clean(batching: MicroBatching) -> None:
    with pytest.raises(KeyError, match="thirteen"):
        batching.handle([1, 2, 13, 4, 5])
    assert batching.handle([1]) == [2]


def test_an_empty_batch_has_no_answers(batching: MicroBatching) -> None:
    assert batching.handle([]) == []


def test_the_slice_number_is_known_inside_a_step_only(batching: MicroBatching) -> None:
    seen: dict[int, int | None] = {}
    batching.handler.postprocess = lambda data: seen.update({data[0]: batching.get_micro_batch_idx()}) or data
    batching.handle([0, 0, 1, 1, 2])
    assert seen == {0: 0, 2: 1, 4: 2}
    assert batching.get_micro_batch_idx() is None


def test_threads_start_late_and_end_on_request() -> None:
    before = threading.active_count()
    batching = MicroBatching(Handler(), parallelism={"inference": 2})
    assert threading.active_count() == before
    batching.handle([1])
    assert threading.active_count() == before + 4
    batching.shutdown()
    batching.shutdown()
    assert threading.active_count() == before


def test_parallelism_can_be_read_and_set(batching: MicroBatching) -> None:
    assert batching.parallelism == dict.fromkeys(HANDLER_METHODS, 1)
    batching.handle([1])
    batching.parallelism = {"inference": 2}
    assert batching.parallelism["inference"] == 2 and batching.handle([3]) == [6]


@pytest.mark.parametrize("wrong", [{"inferenze": 1}, {"inference": 0}])
def test_wrong_parallelism_is_refused(batching: MicroBatching, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        batching.parallelism = wrong


@pytest.mark.parametrize(
    ("headers", "answer"), [({}, [2]), ({"describe": "True"}, ["described"]), ({"explain": "True"}, ["explained", 1])]
)
def test_it_stands_for_the_handlers_entry_point(batching: MicroBatching, headers: dict[str, str], answer: Any) -> None:
    samples: list[Sample] = []
    context = Context("m", "/", None, 1, None, "0.12.0", metrics=metrics.new_cache("m", emit=samples.append))
    context.request_processor = [RequestProcessor(headers)]
    assert batching([1], context) == answer
    assert [sample.name for sample in samples] == ["HandlerTime"]
