"""Parts of a handler that streams, joined for a client that wants one answer; parameters that the server reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stoker.core.job import ModelKey
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.sequences import Membership
from stoker.core.tensors import Tensor
from stoker.errors import BadRequest, InvalidOutput
from stoker.frontend.open_inference import controls, joining
from stoker.frontend.open_inference.plans import Plan
from stoker.frontend.open_inference.request import InferRequest, RequestHead
from stoker.tensors import elements, replies
from stoker.tensors.replies import Answer


def part(*tensors: Tensor) -> Chunk:
    return Chunk(replies.encode(Answer(tensors)))


def plan(*, rows: int | None = None, outputs: Sequence[str] = ()) -> Plan:
    spec = ModelSpec(key=ModelKey("m", "1.0"), url="m.mar", model_dir="/", handler="h")
    return Plan(spec, RequestHead("m", "", [], [(name, {}) for name in outputs]), rows=rows, job=b"", sizes=None)


REQUEST = InferRequest(RequestHead("m", "", []), "7", [])


def text(value: bytes, name: str = "output") -> Tensor:
    return Tensor(name, "BYTES", [], elements.joined([value]))


@pytest.mark.parametrize(("rows", "shape"), [(None, []), (1, [1]), (3, [3])])
def test_the_texts_of_a_stream_are_joined_to_one(rows: int | None, shape: list[int]) -> None:
    parts = [part(text(b"one ")), part(text(b"")), part(text(b"two"))]
    joined = joining.whole(parts, REQUEST, plan(rows=rows))
    assert joined.data == [elements.joined([b"one two"])]
    assert (joined.head.outputs[0].shape, joined.id) == (shape, "7")


def test_answers_that_differ_in_data_alone_share_their_head() -> None:
    own = plan(rows=1)
    one, other = (joining.whole([part(text(data))], REQUEST, own) for data in (b"a", b"bc"))
    assert one.head is other.head
    assert one.data != other.data
    named = replies.encode(Answer([text(b"a")], id="mine"))
    assert [joining.whole([Chunk(named)], REQUEST, own).id for _ in range(2)] == ["mine", "mine"]


def test_headers_of_one_answer_are_not_parameters_of_the_next() -> None:
    own, sent = plan(), replies.encode(Answer([text(b"a")]))
    with_header = joining.read(Chunk(sent, ResponseMeta(headers={"X-Note": "n"})), REQUEST, own)
    assert with_header.head.parameters == {"X-Note": "n"}
    assert joining.read(Chunk(sent), REQUEST, own).head.parameters == {}


def test_only_wanted_outputs_of_rows_are_joined_in_the_clients_order() -> None:
    own = plan(rows=2, outputs=["b", "a"])
    rows = [joining.whole([part(text(data, "a"), text(data * 2, "b"))], REQUEST, own) for data in (b"x", b"y")]
    joined = joining.rows(rows)
    assert [(output.name, output.shape) for output in joined.head.outputs] == [("b", [2]), ("a", [2])]
    assert joined.data == [elements.joined([b"xx", b"yy"]), elements.joined([b"x", b"y"])]
    with pytest.raises(BadRequest, match="no output 'c'"):
        joining.whole([part(text(b"x"))], REQUEST, plan(outputs=["c"]))


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
        joining.whole(parts, REQUEST, plan())


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
