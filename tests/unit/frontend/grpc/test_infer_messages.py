"""Requests of ModelInfer whose head was seen before read as protobuf reads them."""

from __future__ import annotations

import pytest

from stoker.errors import MalformedMessage
from stoker.frontend.grpc import infer_messages
from stoker.frontend.grpc.varint import read_varint, varint
from stoker.protos import grpc_predict_v2_pb2 as pb


def field(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + varint(len(data)) + data


NAME, VERSION = field(0x0A, b"sentiment"), field(0x12, b"2.0")
INPUTS = [
    field(0x2A, pb.ModelInferRequest.InferInputTensor(name=name, datatype="UINT8", shape=[3]).SerializeToString())
    for name in ("a", "b", "c")
]
OTHER_INPUTS = [INPUTS.pop(), INPUTS[0]]
RAW = [field(0x3A, b"abc"), field(0x3A, b"xyz")]
ID, OTHER_ID = field(0x1A, b"first"), field(0x1A, "zweite-ü".encode() * 30)

MESSAGES = {
    "without an id": [NAME, *INPUTS, *RAW],
    "with an id": [NAME, ID, *INPUTS, *RAW],
    "with another id": [NAME, OTHER_ID, *INPUTS, *RAW],
    "with an empty id": [NAME, field(0x1A, b""), *INPUTS, *RAW],
    "with two ids": [NAME, ID, OTHER_ID, *INPUTS, *RAW],
    "with an id in the middle": [NAME, INPUTS[0], ID, INPUTS[1], *RAW],
    "with the id behind the inputs": [NAME, *INPUTS, ID, *RAW],
    "with the id last": [NAME, *INPUTS, *RAW, ID],
    "with raw contents between the inputs": [NAME, INPUTS[0], RAW[0], INPUTS[1], RAW[1]],
    "with raw contents first": [NAME, *RAW, *INPUTS],
    "with an id and other inputs": [NAME, ID, *OTHER_INPUTS, *RAW],
    "with a version": [NAME, VERSION, ID, *INPUTS, *RAW],
    "with one input": [NAME, INPUTS[0], RAW[0]],
    "with large contents": [NAME, *INPUTS, RAW[0], field(0x3A, bytes(70_000))],
}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer_messages, "_known", {})


def check(message: bytes) -> None:
    expected = pb.ModelInferRequest.FromString(message)
    request, raw = infer_messages.read(message)
    assert raw is True
    assert (request.head.model, request.head.version) == (expected.model_name, expected.model_version)
    assert request.id == expected.id
    assert [(each.name, list(each.shape)) for each in request.head.inputs] == [
        (each.name, list(each.shape)) for each in expected.inputs
    ]
    assert [bytes(data) for data in request.data] == list(expected.raw_input_contents)


@pytest.mark.parametrize("then", MESSAGES)
@pytest.mark.parametrize("first", MESSAGES)
def test_a_request_reads_the_same_after_any_other(first: str, then: str) -> None:
    for name in (first, then, first, then):
        check(b"".join(MESSAGES[name]))


@pytest.mark.parametrize("name", ["without an id", "with an id", "with the id behind the inputs"])
def test_a_repeated_head_is_not_parsed_again(name: str) -> None:
    message = b"".join(MESSAGES[name])
    assert infer_messages.read(message)[0].head is infer_messages.read(message)[0].head


def test_requests_that_differ_in_id_and_data_share_their_head() -> None:
    first = infer_messages.read(b"".join([NAME, ID, *INPUTS, *RAW]))[0]
    then = infer_messages.read(b"".join([NAME, OTHER_ID, *INPUTS, *reversed(RAW)]))[0]
    assert first.head is then.head


def test_heads_that_cannot_be_recognised_displace_no_others() -> None:
    head = infer_messages.read(b"".join(MESSAGES["with an id"]))[0].head
    for _ in range(20):
        check(b"".join(MESSAGES["with raw contents first"]))
    assert infer_messages.read(b"".join(MESSAGES["with an id"]))[0].head is head


@pytest.mark.parametrize("name", ["without an id", "with an id"])
def test_a_truncated_request_is_malformed_although_its_head_is_known(name: str) -> None:
    message = b"".join(MESSAGES[name])
    check(message)
    cut = message[:-1]
    with pytest.raises(MalformedMessage):
        infer_messages.read(cut)


def test_an_id_that_is_no_text_is_malformed_although_the_head_is_known() -> None:
    check(b"".join(MESSAGES["with an id"]))
    with pytest.raises(MalformedMessage):
        infer_messages.read(b"".join([NAME, field(0x1A, b"\xff"), *INPUTS, *RAW]))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16_383, 16_384, 2**31, 2**35 - 1])
def test_a_length_is_read_where_it_stands(number: int) -> None:
    encoded = varint(number)
    assert read_varint(b"xx" + encoded + b"y", 2) == (number, 2 + len(encoded))
    assert read_varint(b"xx" + encoded[:-1], 2) is None


def test_a_length_of_too_many_bytes_is_none() -> None:
    assert read_varint(b"\x80" * 5 + b"\x01", 0) is None
    assert read_varint(b"\x80" * 5 + b"\x01", 0, 10) == (1 << 35, 6)
