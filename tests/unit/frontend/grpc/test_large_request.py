"""Large requests are read as protobuf reads them, without a copy of their large values."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError

from stoker.core.buffer import Buffer
from stoker.frontend.grpc import large_request
from stoker.frontend.grpc.messages import LARGE_BYTES
from stoker.protos import inference_pb2

LARGE = bytes(range(256)) * (LARGE_BYTES // 128)


def encoded(**inputs: bytes) -> bytes:
    request = inference_pb2.PredictionsRequest(model_name="m", model_version="2", input=inputs)
    return request.SerializeToString()


def parse(message: bytes | bytearray) -> tuple[inference_pb2.PredictionsRequest, dict[str, Buffer]]:
    request, inputs = large_request.parse(message)
    assert len({item.name for item in inputs}) == len(inputs)
    return request, {item.name: item.value for item in inputs}


def entry(key: bytes, value: bytes, *, key_tag: int = 0x0A, value_tag: int = 0x12) -> bytes:
    inner = bytes([key_tag]) + varint(len(key)) + key + bytes([value_tag]) + varint(len(value)) + value
    return b"\x1a" + varint(len(inner)) + inner


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


@pytest.mark.parametrize(
    "inputs",
    [{}, {"data": b"x"}, {"data": LARGE}, {"data": LARGE, "note": b"small"}, {"a": LARGE, "b": LARGE[:-1], "c": b""}],
    ids=["none", "small", "large", "large and small", "two large"],
)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_every_value_arrives_under_its_name(inputs: dict[str, bytes], kind: type) -> None:
    request, values = parse(kind(encoded(**inputs)) if len(encoded(**inputs)) > LARGE_BYTES else encoded(**inputs))
    assert (request.model_name, request.model_version) == ("m", "2")
    assert {name: bytes(value) for name, value in values.items()} == inputs


def test_a_large_value_is_a_view_of_the_message_and_a_small_one_is_not() -> None:
    _, values = parse(encoded(data=LARGE, note=b"small"))
    assert isinstance(values["data"], memoryview)
    assert isinstance(values["note"], bytes)


def test_a_message_cut_anywhere_is_refused_as_by_protobuf() -> None:
    message = encoded(data=LARGE)
    cuts = random.Random(1).sample(range(LARGE_BYTES + 1, len(message)), 50)
    for cut in cuts:
        with pytest.raises(DecodeError):
            parse(message[:cut])


def test_a_name_that_comes_twice_has_its_last_value() -> None:
    message = b"\x0a\x01m" + entry(b"data", LARGE) + entry(b"data", b"last")
    assert bytes(parse(message)[1]["data"]) == b"last"
    message = b"\x0a\x01m" + entry(b"data", b"first") + entry(b"data", LARGE)
    assert bytes(parse(message)[1]["data"]) == LARGE


def test_fields_in_another_order_or_unknown_ones_are_left_to_protobuf() -> None:
    swapped = b"\x12" + varint(len(LARGE)) + LARGE + b"\x0a\x04data"
    message = b"\x0a\x01m\x1a" + varint(len(swapped)) + swapped
    assert bytes(parse(message)[1]["data"]) == LARGE
    unknown = encoded(data=LARGE) + b"\xfa\x01\x03abc"
    assert bytes(parse(unknown)[1]["data"]) == LARGE


def test_a_name_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse(b"\x0a\x01m" + entry(b"\xff\xfe", LARGE))


def test_damaged_lengths_never_read_beyond_the_message() -> None:
    """Whatever is changed, the outcome is protobuf's: its values, or its refusal."""
    message, chance = bytearray(encoded(data=LARGE, note=b"n")), random.Random(2)
    for _ in range(300):
        damaged = bytearray(message)
        damaged[chance.randrange(12)] = chance.randrange(256)
        try:
            expected = {
                name: bytes(v) for name, v in inference_pb2.PredictionsRequest.FromString(bytes(damaged)).input.items()
            }
        except DecodeError:
            with pytest.raises(DecodeError):
                parse(damaged)
        else:
            assert {name: bytes(value) for name, value in parse(damaged)[1].items()} == expected
