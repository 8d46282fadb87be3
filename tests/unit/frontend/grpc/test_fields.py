"""Messages of too many pieces are refused before anything is made of the pieces."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from google.protobuf.message import DecodeError

from stoker.config.settings import Settings
from stoker.core.tensors import TensorInterface
from stoker.errors import BadRequest, MalformedMessage
from stoker.frontend.grpc import infer_messages, operations, prediction_messages
from stoker.frontend.grpc.fields import check_fields
from stoker.frontend.grpc.varint import varint
from stoker.frontend.open_inference import checks
from stoker.frontend.request_limits import MOST_FIELDS, MOST_NUMBERS, MOST_TEXTS, USUAL_BYTES, most
from stoker.protos import grpc_predict_v2_pb2 as pb
from stoker.protos import inference_pb2, management_pb2, workflow_pb2
from stoker.tensors import elements

REFUSED = "The request has more than 10000 fields."
MODEL = b"\x0a\x01m"
INPUT = b"\x0a\x01a\x12\x04INT8"
LARGE = b"\x1a" + varint(70_007) + b"\x0a\x01d\x12" + varint(70_000) + bytes(70_000)


def field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def distinct(count: int) -> bytes:
    return b"".join(b"\x1a\x07\x0a\x05%05d" % number for number in range(count))


# ----------------------------------------------------------------------------------------- predictions


@pytest.mark.parametrize(
    "piece",
    [b"\x1a\x00", b"\x1a\x03\x0a\x01a", b"\x0a\x01m", b"\x38\x01", b"\x3d1234", b"\x39" + bytes(8), b"\x9a\x00\x00"],
    ids=["empty inputs", "one name", "the model", "unknown", "unknown 32 bits", "unknown 64 bits", "a long tag"],
)
@pytest.mark.parametrize("before", [b"", LARGE], ids=["small", "beside a large value"])
def test_predictions_of_too_many_fields_are_refused(piece: bytes, before: bytes) -> None:
    begin = MODEL + before
    there = 1 + bool(before)
    prediction_messages.read_request(begin + piece * (MOST_FIELDS - there))
    with pytest.raises(BadRequest) as refused:
        prediction_messages.read_request(begin + piece * (MOST_FIELDS - there + 1))
    assert str(refused.value) == REFUSED


def test_as_many_inputs_as_there_may_be_fields_reach_the_handler() -> None:
    request = prediction_messages.read_request(MODEL + distinct(MOST_FIELDS - 1))
    assert len(request.inputs) == MOST_FIELDS - 1
    with pytest.raises(BadRequest) as refused:
        prediction_messages.read_request(MODEL + distinct(MOST_FIELDS))
    assert str(refused.value) == REFUSED


def test_fields_of_unknown_groups_count() -> None:
    group = b"\x3b\x3d1234\x3c"
    prediction_messages.read_request(MODEL + group * 3333)
    with pytest.raises(BadRequest, match="more than 10000 fields"):
        prediction_messages.read_request(MODEL + group * 3334)


def test_a_value_is_not_counted_however_large_it_is() -> None:
    (value,) = prediction_messages.read_request(
        MODEL + field(b"\x1a", b"\x0a\x01d" + field(b"\x12", b"\x1a\0" * 10**5))
    ).inputs
    assert bytes(value.value) == b"\x1a\0" * 10**5


@pytest.mark.parametrize("end", [b"\x3f", b"\x1a", b"\x1a\x80", b"\x1a\x05", b"\x38" + b"\x80" * 11, b"\x00"])
def test_what_is_no_protobuf_is_refused_as_that(end: bytes) -> None:
    with pytest.raises(MalformedMessage):
        prediction_messages.read_request(MODEL + b"\x1a\x00" * (MOST_FIELDS - 10) + end)


def test_no_message_that_protobuf_takes_has_fields_that_are_not_counted() -> None:
    """Tags and lengths may be longer than they need be."""
    chosen = random.Random(1)
    pieces = [
        b"\x1a\x00",
        b"\x9a\x80\x80\x00\x00",
        b"\x1a\x80\x80\x00",
        b"\x1a\x80\x80\x80\x80\x00",
        b"\x38" + b"\x80" * 9 + b"\x00",
    ]
    pieces += [b"\x9a\x80\x80\x80\x00\x00", b"\x9a" + b"\x80" * 8 + b"\x00\x00", b"\x1a" + b"\x80" * 8 + b"\x00"]
    for piece in pieces:
        message = MODEL + b"".join(chosen.choice((piece, b"\x1a\x00")) for _ in range(2 * MOST_FIELDS))
        try:
            inference_pb2.PredictionsRequest.FromString(message)
        except DecodeError:
            continue
        with pytest.raises(BadRequest, match="more than 10000 fields"):
            check_fields(message)


# ------------------------------------------------------------------------------------------- operations


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        (management_pb2.RegisterModelRequest, b"\x4a\x01u"),
        (workflow_pb2.RegisterWorkflowRequest, b"\x0a\x01u"),
        (workflow_pb2.WorkflowPredictRequest, b"\x12\x00"),
        (pb.RepositoryModelLoadRequest, b"\x1a\x00"),
    ],
)
def test_other_messages_of_too_many_fields_are_refused(kind: type, piece: bytes) -> None:
    operations.parse(kind, SimpleNamespace(request=piece * MOST_FIELDS))  # type: ignore[arg-type, type-var]
    with pytest.raises(BadRequest) as refused:
        operations.parse(kind, SimpleNamespace(request=piece * (MOST_FIELDS + 1)))  # type: ignore[arg-type, type-var]
    assert str(refused.value) == REFUSED


# --------------------------------------------------------------------------------------------- tensors


def tensor(pieces: bytes) -> bytes:
    return field(b"\x2a", INPUT + pieces)


FLOODS = {
    "parameters": lambda count: MODEL + b"\x22\x00" * (count - 1),
    "outputs": lambda count: MODEL + b"\x32\x00" * (count - 1),
    "parameters of an input": lambda count: MODEL + tensor(b"\x22\x00" * (count - 4)),
    "parameters of two inputs": lambda count: MODEL + tensor(b"\x22\x00" * 4000) + tensor(b"\x22\x00" * (count - 4007)),
    "contents of an input": lambda count: MODEL + tensor(b"\x2a\x00" * (count - 4)),
    "parameters of an output": lambda count: MODEL + field(b"\x32", b"\x12\x00" * (count - 2)),
    "parameters beside raw contents": lambda count: MODEL + tensor(b"\x22\x00" * (count - 5)) + b"\x3a\x00",
    "ids beside raw contents": lambda count: MODEL + tensor(b"") + b"\x1a\x01i" * (count - 5) + b"\x3a\x00",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_requests_with_tensors_of_too_many_fields_are_refused(flood: str) -> None:
    infer_messages.read(FLOODS[flood](MOST_FIELDS))
    with pytest.raises(BadRequest) as refused:
        infer_messages.read(FLOODS[flood](MOST_FIELDS + 1))
    assert str(refused.value) == REFUSED


@pytest.mark.parametrize(
    ("pieces", "few"),
    [(b"\x2a\x00", "The datatype of input '' is unknown: "), (b"\x3a\x00", "the number of inputs (0) does not match")],
    ids=["inputs", "raw contents"],
)
def test_too_many_tensors_are_refused_for_their_number(pieces: bytes, few: str) -> None:
    for count, words in ((MOST_FIELDS - 1, few), (MOST_FIELDS, REFUSED)):
        with pytest.raises(BadRequest) as refused:
            infer_messages.read(MODEL + pieces * count)
        assert str(refused.value).startswith(words)


def test_a_request_like_an_earlier_one_is_refused_for_its_contents_too() -> None:
    head = MODEL + tensor(b"")
    infer_messages.read(head + b"\x3a\x00")
    with pytest.raises(BadRequest) as refused:
        infer_messages.read(head + b"\x3a\x00" * (MOST_FIELDS + 1))
    assert str(refused.value) == REFUSED


@pytest.mark.parametrize(
    "sizes", [b"\x18\x01" * 9_000, field(b"\x1a", b"\x01" * 1_000_000)], ids=["one by one", "packed"]
)
@pytest.mark.parametrize("raw", [b"", b"\x3a\x00"], ids=["typed", "raw"])
def test_a_shape_of_too_many_dimensions_is_refused(sizes: bytes, raw: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        infer_messages.read(MODEL + tensor(sizes) + bytes(raw) + field(b"\x12", bytes(30_000)))
    assert str(refused.value) == "Input 'a' has more than 32 dimensions."


def typed(datatype: bytes, *contents: bytes) -> bytes:
    inputs = (field(b"\x2a", b"\x0a\x01a" + field(b"\x12", datatype) + field(b"\x2a", each)) for each in contents)
    return MODEL + b"".join(inputs)


def test_millions_of_numbers_are_read_and_more_are_refused() -> None:
    half = field(b"\x12", b"\x01" * (MOST_NUMBERS // 2))
    request, _ = infer_messages.read(typed(b"INT8", half, half))
    assert [len(data) for data in request.data] == [MOST_NUMBERS // 2] * 2
    with pytest.raises(BadRequest) as refused:
        infer_messages.read(typed(b"INT8", half, half, b"\x10\x01"))
    assert str(refused.value) == "The request has more than 3000000 numbers in typed contents."


def test_a_larger_request_may_have_more_numbers() -> None:
    """Whoever sends it is allowed more than usual."""
    size = 2 * USUAL_BYTES
    infer_messages.read(typed(b"INT32", field(b"\x12", b"\x81\x80\x01" * (size // 3))))


def test_hundreds_of_thousands_of_texts_are_read_and_more_are_refused() -> None:
    half = b"\x42\x01x" * (MOST_TEXTS // 2)
    request, _ = infer_messages.read(typed(b"BYTES", half, half))
    assert bytes(request.data[0]) == elements.joined([b"x"] * (MOST_TEXTS // 2))
    with pytest.raises(BadRequest) as refused:
        infer_messages.read(typed(b"BYTES", half, half + b"\x42\x00"))
    assert str(refused.value) == "The request has more than 200000 elements of BYTES."


def test_raw_contents_have_as_many_texts_as_others() -> None:
    first, second = MOST_TEXTS // 2, MOST_TEXTS - MOST_TEXTS // 2

    def read(*counts: int) -> None:
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(4 * count) for count in counts])
        for number, count in enumerate(counts):
            request.inputs.add(name=f"x{number}", datatype="BYTES", shape=[count])
        checks.check(infer_messages.read(request.SerializeToString())[0], TensorInterface())

    read(first, second)
    with pytest.raises(BadRequest) as refused:
        read(first, second + 1)
    assert str(refused.value) == "The request has more than 200000 elements of BYTES."


def test_limits_grow_with_a_request_beyond_the_usual_size() -> None:
    assert Settings().max_request_size == USUAL_BYTES
    assert most(1000, 0) == most(1000, USUAL_BYTES) == 1000
    assert most(1000, 3 * USUAL_BYTES) == 3000
