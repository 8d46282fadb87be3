from __future__ import annotations

import pytest

from stoker.core.ports import Dropped
from stoker.core.reply import Chunk, ResponseMeta
from stoker.errors import (
    HandlerError,
    HandlerRaised,
    HandlerRefused,
    InvalidOutput,
    OutOfResources,
    ResponseTooLarge,
)
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import DROPPED, MOST_PARTS, Failure, Meta, Parts, Results
from stoker.pool.outcomes import error_of, of_parts, of_results


def test_the_payload_is_cut_into_one_outcome_per_job() -> None:
    message = Results(7, [3, DROPPED, 0, 2], {}, {3: Meta(201, "made", {"a": "b"})})
    assert of_results(message, memoryview(b"abcde"), 4) == [
        Chunk(b"abc"),
        Dropped.DROPPED,
        Chunk(b""),
        Chunk(b"de", ResponseMeta(201, "made", {"a": "b"})),
    ]


def test_small_results_are_copies_and_large_ones_views() -> None:
    payload = memoryview(bytes(100_010))
    small, large = of_results(Results(1, [10, 100_000]), payload, 2)
    assert isinstance(small, Chunk)
    assert isinstance(large, Chunk)
    assert type(small.data) is bytes
    assert type(large.data) is memoryview


def test_parts_of_one_message_go_to_their_jobs_in_order() -> None:
    message = Parts(1, [1, DROPPED, 2, 1, 0, DROPPED], {1: Meta(201, "made", {})})
    first, second = of_parts(message, memoryview(b"abbc"), 2)
    assert first == [Chunk(b"a"), Chunk(b"bb"), Chunk(b"")]
    assert second == [Chunk(b"c", ResponseMeta(201, "made", {}))]


def test_parts_of_a_large_message_are_views() -> None:
    ((first, second),) = of_parts(Parts(1, [100_000, 5]), memoryview(bytes(100_005)), 1)
    assert (type(first.data), len(first.data), len(second.data)) == (memoryview, 100_000, 5)


@pytest.mark.parametrize(
    "lengths", [[], [1, 1, 1], [-2, 6], [4, DROPPED, 1, DROPPED], [0, 0] * (MOST_PARTS + 1)], ids=len
)
def test_parts_that_do_not_fit_the_batch_or_their_payload_are_refused(lengths: list[int]) -> None:
    with pytest.raises(FrameError):
        of_parts(Parts(1, lengths), memoryview(b"abcd" if len(lengths) < 100 else b""), 2)


def test_parts_with_headers_for_a_job_that_is_not_there_are_refused() -> None:
    with pytest.raises(FrameError, match="no job 2"):
        of_parts(Parts(1, [1, 1], {2: Meta(200, "", {})}), memoryview(b"ab"), 2)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("raised", HandlerRaised),
        ("refused", HandlerRefused),
        ("resources", OutOfResources),
        ("output", InvalidOutput),
    ],
)
def test_a_failure_keeps_its_words_and_its_number(kind: str, error: type[HandlerError]) -> None:
    (outcome,) = of_results(Results(1, [0], {0: Failure(kind, 418, "in its own words")}), memoryview(b""), 1)
    assert type(outcome) is error
    assert (outcome.message, outcome.number) == ("in its own words", 418)


def test_a_result_over_the_limit_has_both_sizes() -> None:
    error = error_of(Failure("too_large", 507, "", 11, 10))
    assert type(error) is ResponseTooLarge
    assert error.message == "The response is larger than max_response_size: 11 bytes, the limit is 10."


@pytest.mark.parametrize(
    "message",
    [
        Results(1, [1]),
        Results(1, [1, 1, 1]),
        Results(1, [1, 5]),
        Results(1, [-2, 4]),
        Results(1, [1, 1], {2: Failure("raised", 503, "")}),
        Results(1, [1, 1], {-1: Failure("raised", 503, "")}),
        Results(1, [1, 1], {0: Failure("surprise", 503, "")}),
        Results(1, [1, 1], {}, {9: Meta(200, "", {})}),
    ],
)
def test_what_does_not_fit_the_batch_breaks_the_protocol(message: Results) -> None:
    with pytest.raises(FrameError):
        of_results(message, memoryview(b"ab"), 2)
