"""Bodies of predictions as inputs."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.job import Input
from stoker.errors import BadRequest
from stoker.frontend.http import bodies

FORM = b"application/x-www-form-urlencoded"


def multipart(*parts: tuple[str, bytes], end: str = "--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + end.encode()


def read(*parts: tuple[str, bytes]) -> dict[str, Input]:
    found = bodies.read_body(multipart(*parts), b"multipart/form-data; boundary=B")
    return {name: item._replace(value=bytes(item.value)) for name, item in found.items()}


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"", ""),
        (b"application/json", "application/json"),
        (b"application/json; charset=utf-8", "application/json"),
        (b"text/plain;charset=latin-1", "text/plain"),
        (b"Application/JSON", "Application/JSON"),
    ],
)
def test_any_other_body_is_one_input_with_its_type_and_no_parameters(content_type: bytes, kind: str) -> None:
    assert bodies.read_body(b"{}", content_type) == {"body": Input("body", kind, b"{}")}


def test_the_fields_of_a_form_become_inputs_and_of_a_repeated_one_the_last_counts() -> None:
    found = bodies.read_body(b"a=1&b=x%20y+z&a=2&empty=", FORM)
    assert found == {"a": Input("a", "", b"2"), "b": Input("b", "", b"x y z"), "empty": Input("empty", "", b"")}


def test_a_file_has_its_content_type_and_a_plain_field_has_none_whatever_it_says() -> None:
    found = read(
        ('Content-Disposition: form-data; name="data"; filename="k.jpg"\r\nContent-Type: image/jpeg', b"\xff\xd8"),
        ('Content-Disposition: form-data; name="text"\r\nContent-Type: application/json', b"{}"),
        ('content-disposition: form-data; name="data"; filename="l.png"\r\ncontent-type: image/png', b"\x89PNG\r\n"),
    )
    assert found == {"data": Input("data", "image/png", b"\x89PNG\r\n"), "text": Input("text", "", b"{}")}


def test_an_empty_part_is_an_empty_value() -> None:
    assert read(('Content-Disposition: form-data; name="data"', b""))["data"].value == b""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (multipart(), b"multipart/form-data"),
        (multipart(), b"multipart/form-data; boundary="),
        (multipart(), b"multipart/form-data; boundary=" + b"B" * (1 << 20)),
        (b"", b"multipart/form-data; boundary=B"),
        (b"no boundary here", b"multipart/form-data; boundary=B"),
        (multipart(("Content-Disposition: form-data", b"x")), b"multipart/form-data; boundary=B"),
        (multipart(("no colon", b"x")), b"multipart/form-data; boundary=B"),
        (multipart(('Content-Disposition: form-data; name="a"', b"x"), end=""), b"multipart/form-data; boundary=B"),
        (
            multipart(*[('Content-Disposition: form-data; name="a"', b"x")] * (bodies.MAX_FIELDS + 1)),
            b"multipart/form-data; boundary=B",
        ),
        (multipart(("x: " + "y" * 10_000, b"")), b"multipart/form-data; boundary=B"),
        (b"a=1&" * (bodies.MAX_FIELDS + 1), FORM),
    ],
)
def test_a_form_without_sense_is_refused_in_words(body: bytes, content_type: bytes) -> None:
    with pytest.raises(BadRequest):
        bodies.read_body(body, content_type)


def test_the_query_is_read_as_a_form_is() -> None:
    assert bodies.read_query(b"a=%FF&b") == {"a": Input("a", "", b"\xff"), "b": Input("b", "", b"")}
    assert bodies.query_value(b"x=1&model_name=a%20b&model_name=c", "model_name") == "c"
    assert bodies.query_value(b"x=1", "model_name") is None


@given(
    st.lists(
        st.sampled_from(
            [b"%41", b"%", b"%4", b"%zz", b"=", b"+", b" ", b"\r\n", b"\n", b"_", b"%00", b"%e4", b"x", b"."]
        )
    )
)
def test_values_are_unquoted_as_everybody_does(pieces: list[bytes]) -> None:
    value = b"".join(pieces)
    assert bodies.read_query(b"a=" + value)["a"].value == unquote_to_bytes(value.replace(b"+", b" "))
