"""JSON documents of too many pieces are refused before they are parsed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stoker.errors import BadRequest
from stoker.frontend.http import infer_bodies, parameters
from stoker.frontend.http.json_limits import check_document
from stoker.frontend.request_limits import MOST_FIELDS, MOST_LISTS, MOST_TEXTS, MOST_VALUES, USUAL_BYTES


def document_of(body: bytes, header_length: int | None) -> Any:
    steps = infer_bodies.document_of(body, header_length)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def names(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":1' % number for number in range(count)) + b"}"


def lists(count: int) -> bytes:
    return b"[" + b",".join([b"[]"] * (count - 1)) + b"]"


def objects(count: int) -> bytes:
    return b"[" + b",".join([b"{}"] * (count - 1)) + b"]"


def texts(count: int) -> bytes:
    return b"[" + b",".join([b'""'] * count) + b"]"


def numbers(count: int) -> bytes:
    """The list itself is one."""
    return b"[" + b",".join([b"1"] * count) + b"]"


FLOODS: list[tuple[Callable[[int], bytes], int, str]] = [
    (names, MOST_FIELDS, "10000 fields"),
    (lists, MOST_LISTS, "400000 lists and objects"),
    (objects, MOST_LISTS, "400000 lists and objects"),
    (texts, MOST_TEXTS + 2 * MOST_FIELDS, "220000 texts"),
    (numbers, MOST_VALUES, "2000000 values"),
]


@pytest.mark.parametrize(("flood", "limit", "words"), FLOODS)
def test_too_much_of_anything_is_refused(flood: Callable[[int], bytes], limit: int, words: str) -> None:
    check_document(flood(limit))
    check_document(memoryview(flood(limit)))
    with pytest.raises(BadRequest) as refused:
        check_document(bytearray(flood(limit + 1)))
    assert str(refused.value) == f"The request has more than {words}."


@pytest.mark.parametrize("character", ["[", "{", ":", ",", '"', "\\"])
def test_what_stands_in_a_text_is_not_counted(character: str) -> None:
    document = json.dumps({"texts": [character * 1_000_000, "\\" + character, character * 1_000_001]}).encode()
    check_document(document)
    with pytest.raises(BadRequest, match="fields"):
        check_document(document[:-1] + b"," + names(MOST_FIELDS)[1:])


@pytest.mark.parametrize(
    "end", [b'"', b'"' + b'\\"' * 1_000_000, b'"' + b"\\" * 1_000_001], ids=["text", "quotes", "escapes"]
)
def test_a_document_that_ends_within_a_text_is_counted_too(end: bytes) -> None:
    with pytest.raises(BadRequest, match="fields"):
        check_document(names(MOST_FIELDS + 1) + end)


def test_a_larger_document_may_have_more_values() -> None:
    """Whoever sends it is allowed more than usual."""
    check_document(b"[" + b"123," * (USUAL_BYTES // 2) + b"1]")


def test_a_flood_is_refused_where_it_is_an_object_and_left_to_the_handler_where_it_is_none() -> None:
    with pytest.raises(BadRequest, match="more than 10000 fields"):
        document_of(names(MOST_FIELDS + 1), None)
    with pytest.raises(BadRequest, match="more than 10000 fields"):
        flood = names(MOST_FIELDS + 1)
        document_of(flood + b"binary", len(flood))
    assert document_of(lists(MOST_LISTS + 1), None) is None


def test_a_flood_of_parameters_of_an_operation_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        parameters.from_request("", "application/json", names(MOST_FIELDS + 1))
    assert str(refused.value) == "The request has more than 10000 fields."


@pytest.mark.parametrize(("rows", "size"), [(100_000, 3), (250_000, 2)])
def test_rows_by_the_hundred_thousand_are_read(rows: int, size: int) -> None:
    row = b"[" + b",".join([b"1"] * size) + b"]"
    body = b'{"inputs":[{"name":"a","datatype":"INT8","shape":[%d,%d],"data":[%s]}]}'
    body %= (rows, size, b",".join([row] * rows))
    document = document_of(body, None)
    assert document is not None
    request, _ = infer_bodies.request_of(document, body, None, model="m", version="")
    assert request.data == [b"\x01" * rows * size]


def test_a_list_counts_as_one_more_value() -> None:
    row = b"[" + b",".join([b"1"] * 9) + b"]"
    rows = MOST_VALUES // 10
    check_document(b"[" + b",".join([row] * (rows - 1)) + b"]")
    with pytest.raises(BadRequest, match="more than 2000000 values"):
        check_document(b"[" + b",".join([row] * (rows + 1)) + b"]")


@pytest.mark.parametrize(
    ("flood", "limit", "words"),
    [(numbers, MOST_VALUES // 4, "500000 values"), (lists, MOST_LISTS // 4, "100000 lists and objects")],
)
def test_numbers_that_json_does_not_know_lower_the_limits_as_all_is_decoded_at_once(
    flood: Callable[[int], bytes], limit: int, words: str
) -> None:
    document = b'{"a":%s,"b":%s}'
    assert document_of(document % (flood(limit - 3), b"NaN"), None) is not None
    assert document_of(document % (flood(limit + 1), b"1"), None) is not None
    with pytest.raises(BadRequest) as refused:
        document_of(document % (flood(limit + 1), b"NaN"), None)
    assert str(refused.value) == f"The request has more than {words}."


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_is_utf_8_as_in_other_encodings_its_pieces_are_not_counted(encoding: str) -> None:
    text = '{"a": "\u0122"}'
    assert document_of(text.encode("utf-8-sig"), None) == {"a": "\u0122"}
    assert document_of(text.encode(encoding), None) is None
    with pytest.raises(BadRequest, match="not valid JSON"):
        parameters.from_request("", "application/json", text.encode(encoding))


HALVES = [
    rb"\ud800",
    rb"\uDfff",
    rb"\ud83d\ud83d\ude00",
    rb"\ud83d\ude00\ude00",
    rb"\ud83d\\\ude00",
    rb"\\\ud83d",
    rb"\ud83d ude00",
]


@pytest.mark.parametrize("text", HALVES)
def test_half_a_character_is_refused_beside_numbers_that_json_does_not_know(text: bytes) -> None:
    assert document_of(b'{"a": NaN, "b": "%s"}' % text, None) is None


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\uD83D\uDE00\ud83d\ude00", rb"\\ud83d", rb"\ud7ff\ue000"])
def test_whole_characters_are_read_beside_numbers_that_json_does_not_know(text: bytes) -> None:
    document = document_of(b'{"a": NaN, "b": "%s"}' % text, None)
    assert document is not None
    assert document["b"] == json.loads(b'"%s"' % text)


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
@pytest.mark.parametrize("size", [10, 100_000, 1 << 20])
def test_what_is_not_utf_8_is_refused_even_where_a_later_value_replaces_it(text: bytes, size: int) -> None:
    document = b'{"a": "%b%b", "a": "%b"}'
    assert document_of(document % (b" " * size, "\u20ac".encode(), b"b"), None) == {"a": "b"}
    assert document_of(document % (b" " * size, text, b"b"), None) is None
