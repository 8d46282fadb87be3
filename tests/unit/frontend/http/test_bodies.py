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
FIELD = 'Content-Disposition: form-data; name="data"'


def multipart(*parts: tuple[str, bytes], end: str = "--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + end.encode()


def read(*parts: tuple[str, bytes]) -> dict[str, Input]:
    found = bodies.reader(b"multipart/form-data; boundary=B")(multipart(*parts))
    return {name: Input(item.name, item.content_type, bytes(item.value)) for name, item in found.items()}


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
    assert bodies.reader(content_type)(b"{}") == {"body": Input("body", kind, b"{}")}


def test_the_fields_of_a_form_become_inputs_and_of_a_repeated_one_the_last_counts() -> None:
    found = bodies.reader(FORM)(b"a=1&b=x%20y+z&a=2&empty=")
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
        (multipart(), b"multipart/form-data; boundary="),
        (multipart(), b"multipart/form-data; boundary=" + b"B" * (1 << 20)),
        (b"", b"multipart/form-data; boundary=B"),
        (b"no boundary here", b"multipart/form-data; boundary=B"),
        (multipart(("Content-Disposition: form-data", b"x")), b"multipart/form-data; boundary=B"),
        (multipart(("no colon", b"x")), b"multipart/form-data; boundary=B"),
        (multipart(), b'multipart/form-data; boundary=""'),
        (multipart(), b"multipart/form-data; boundary=C"),
        (b'{"a": 1}', b"multipart/form-data; boundary=B"),
        (b"--B\r\n" + FIELD.encode(), b"multipart/form-data; boundary=B"),
        (b"--B\r\n" + FIELD.encode() + b"\r\n\r\nx", b"multipart/form-data; boundary=B"),
        (b"--B\r" + FIELD.encode() + b"\r\rx\r--B--\r", b"multipart/form-data; boundary=B"),
        (b"\n--Bx" * 100_000, b"multipart/form-data; boundary=B"),
        (b'{"a": 1}', FORM),
        (b"just text", FORM),
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
        bodies.reader(content_type)(body)


@pytest.mark.parametrize("parameters", [b"", b";", b"; charset=utf-8"])
def test_a_form_without_a_boundary_is_one_input(parameters: bytes) -> None:
    """Scripts set the type by hand beside a body of their own."""
    body = multipart((FIELD, b"x"))
    assert bodies.reader(b"multipart/form-data" + parameters)(body) == {
        "body": Input("body", "multipart/form-data", body)
    }


@pytest.mark.parametrize(
    "parameters",
    [b'; boundary="B"', b";BOUNDARY = B; charset=x", b"; charset=x;boundary=B", b"; boundary=B; boundary=C"],
)
def test_the_boundary_is_found_as_clients_write_it(parameters: bytes) -> None:
    assert bodies.reader(b"multipart/form-data" + parameters)(multipart((FIELD, b"x")))["data"].value == b"x"


@pytest.mark.parametrize(
    "value", [b"abc", b"", b"a\nb\n\nc", b"a\rb\r", b"a--B", b"\0\xff", b"--Bx", b"a\r\n--Bx\r\nb"]
)
@pytest.mark.parametrize(
    "form",
    [
        b"--B\r\n%s\r\n\r\n%s\r\n--B--\r\n",
        b"--B\r\n%s\r\n\r\n%s\r\n--B--",
        b"--B\r\n%s\r\n\r\n%s\r\n--B--  \r\nand more",
        b"--B\n%s\n\n%s\r\n--B--\n",
        b"--B\r\n%s\n\n%s\r\n--B--\n",
        b"\r\n\r\n--B\r\n%s\r\n\r\n%s\r\n--B--\r\n",
        b"  --B\r\n%s\r\n\r\n%s\r\n--B--\r\n",
        b"This is a form.\r\n\r\n--B\r\n%s\r\n\r\n%s\r\n--B--\r\n",
        b"--Bx\r\n--B\r\n%s\r\n\r\n%s\r\n--B--\r\n",
        b"--B  \r\n%s\r\n\r\n%s\r\n--B \t\r\n",
        b"--B\r\n%s\r\n\r\n%s\r\n--B",
        b"--B\r\n%s\r\n\r\n%s\r\n--B-",
        b"--B\r\n%s\r\n\r\n%s\r\n--B\r\n",
    ],
)
def test_a_form_is_read_however_it_is_written(form: bytes, value: bytes) -> None:
    found = bodies.reader(b"multipart/form-data; boundary=B")(form % (FIELD.encode(), value))
    assert {name: bytes(item.value) for name, item in found.items()} == {"data": value}


def test_a_form_of_bare_line_feeds_is_read() -> None:
    form = f'--B\n{FIELD}\n\na\n\nb\n--B\nContent-Disposition: form-data; name="k"\n\n\n--B--\n'.encode()
    found = bodies.reader(b"multipart/form-data; boundary=B")(form)
    assert {name: bytes(item.value) for name, item in found.items() if name != "form-k"} == {
        "data": b"a\n\nb",
        "k": b"",
    }


@pytest.mark.parametrize(
    "head",
    [
        FIELD + "\r\nno colon here",
        "X(Y): 1\r\n" + FIELD,
        "".join(f"X-{number}: 1\r\n" for number in range(40)) + FIELD,
        'Content-Disposition : form-data ; name = "data"',
        "content-disposition:form-data;name=data",
        'Content-Disposition: form-data;\r\n name="data"',
        'Content-Disposition: attachment; name="data"',
    ],
)
def test_headers_of_a_part_are_read_however_they_are_written(head: str) -> None:
    assert read((head, b"x"))["data"].value == b"x"


def test_the_line_break_of_the_headers_may_be_the_one_before_the_boundary() -> None:
    body = f"--B\r\n{FIELD}\r\n\r\n--B--".encode()
    assert bytes(bodies.reader(b"multipart/form-data; boundary=B")(body)["data"].value) == b""


def test_a_file_may_have_an_encoded_name() -> None:
    head = "Content-Disposition: form-data; name=\"data\"; filename*=UTF-8''a.json\r\nContent-Type: application/json"
    assert read((head, b"{}"))["data"].content_type == "application/json"


def test_the_line_break_after_a_form_is_not_part_of_its_last_value() -> None:
    assert bodies.reader(FORM)(b"a=1&b=2\r\n")["b"].value == b"2"
    assert bodies.reader(FORM)(b"a&") == {"a": Input("a", "", b"")}


def test_a_large_form_is_read_without_copies() -> None:
    data = bytes(1 << 20)
    (item,) = bodies.reader(b"multipart/form-data; boundary=B")(multipart((FIELD, data))).values()
    assert isinstance(item.value, memoryview) and item.value == data


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
