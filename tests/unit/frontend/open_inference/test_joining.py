"""Parts of a handler that streams, joined for a client that wants one answer; parameters that the server reads."""

from __future__ import annotations

import pytest

from stoker.core.reply import Chunk
from stoker.core.sequences import Membership
from stoker.core.tensors import Tensor
from stoker.errors import BadRequest, InvalidOutput
from stoker.frontend.open_inference import controls, joining
from stoker.tensors import elements, replies
from stoker.tensors.replies import Answer


def part(*tensors: Tensor) -> Chunk:
    return Chunk(replies.encode(Answer(tensors)))


def text(value: bytes, name: str = "output") -> Tensor:
    return Tensor(name, "BYTES", [], elements.joined([value]))


@pytest.mark.parametrize(("batched", "shape"), [(False, []), (True, [1])])
def test_the_texts_of_a_stream_are_joined_to_one(batched: bool, shape: list[int]) -> None:
    parts = [part(text(b"one ")), part(text(b"")), part(text(b"two"))]
    (joined,) = joining.whole(parts, batched=batched).outputs
    assert (bytes(joined.data), joined.shape) == (elements.joined([b"one two"]), shape)


@pytest.mark.parametrize(
    "parts",
    [
        [part(Tensor("n", "INT8", [1], b"\1")), part(Tensor("n", "INT8", [1], b"\2"))],
        [part(text(b"a")), part(text(b"b", "other"))],
        [part(text(b"a")), part(text(b"a"), text(b"b", "more"))],
    ],
)
def test_parts_that_are_no_texts_of_one_name_cannot_be_joined(parts: list[Chunk]) -> None:
    with pytest.raises(InvalidOutput, match="ModelStreamInfer"):
        joining.whole(parts)


def test_parameters_that_the_server_reads_do_not_reach_the_handler() -> None:
    given = {"sequence_id": 1, "priority": 1, "timeout": 1, "binary_data_output": True, "triton_x": 1, "own": 2}
    assert controls.for_handler(given) == {"own": 2}


@pytest.mark.parametrize(
    ("parameters", "headers", "member"),
    [
        ({}, {"a": "b"}, None),
        ({"sequence_id": 0, "sequence_start": True}, {"a": "b"}, None),
        ({"sequence_id": ""}, {"a": "b"}, None),
        ({"sequence_id": 7}, {"a": "b", "ts_request_sequence_id": "7"}, Membership("7")),
        (
            {"sequence_id": "s", "sequence_start": True, "sequence_end": True},
            {
                "a": "b",
                "ts_request_sequence_id": "s",
                "ts_request_sequence_start": "true",
                "ts_request_sequence_end": "true",
            },
            Membership("s", True, True),
        ),
    ],
)
def test_a_sequence_is_named_in_headers(parameters: dict[str, object], headers: object, member: object) -> None:
    assert controls.sequence({"a": "b"}, parameters) == (headers, member)


def test_an_id_that_no_sequence_can_have_is_refused() -> None:
    with pytest.raises(BadRequest, match="id of a sequence"):
        controls.sequence(None, {"sequence_id": "a;b"})


@pytest.mark.parametrize(
    ("given", "timeout", "deadline"),
    [(None, 0, None), (None, 2_000_000, 102.0), (101.0, 2_000_000, 101.0), (110.0, "2000000", 102.0), (5.0, None, 5.0)],
)
def test_a_timeout_shortens_the_deadline(given: float | None, timeout: object, deadline: float | None) -> None:
    assert controls.deadline(given, {"timeout": timeout}, 100.0) == deadline


@pytest.mark.parametrize("timeout", ["soon", -1])
def test_a_timeout_that_is_none_is_refused(timeout: object) -> None:
    with pytest.raises(BadRequest, match="timeout"):
        controls.deadline(None, {"timeout": timeout}, 0.0)
