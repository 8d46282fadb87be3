"""Request headers as a handler finds them: in any case, in Train-Case where it lists them."""

from __future__ import annotations

import pytest

from stoker.worker.context import Context, RequestProcessor

HEADERS = {
    "content-type": "text/plain",
    "X-REQUEST-tag": "t",
    "Host": "h",
    "explain": "False",
    "url_path": "v1/chat",
    "ts_request_sequence_id": "s",
    "data": {"content-type": "image/png"},
}


@pytest.fixture
def context() -> Context:
    made = Context("m", "/d", None, 1, None, "0.12.0")
    made.request_processor = [RequestProcessor(dict(HEADERS))]
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "text/plain"),
        ("Content-Type", "text/plain"),
        ("x-request-TAG", "t"),
        ("HOST", "h"),
        ("Explain", "False"),
        ("url_path", "v1/chat"),
        ("data", {"content-type": "image/png"}),
        ("Data", None),
        ("x-none", None),
    ],
)
def test_a_header_is_found_in_any_case_and_the_mark_of_a_data_key_only_by_its_name(
    context: Context, name: str, value: object
) -> None:
    assert context.get_request_header(0, name) == value


def test_the_clients_own_case_comes_first(context: Context) -> None:
    context.request_processor = [RequestProcessor({"X-A": "1", "x-a": "2"})]
    assert (context.get_request_header(0, "x-a"), context.get_request_header(0, "X-A")) == ("2", "1")


def test_all_headers_have_names_in_train_case_and_the_servers_words_their_own(context: Context) -> None:
    assert list(context.get_all_request_header(0)) == [
        "Content-Type",
        "X-Request-Tag",
        "Host",
        "explain",
        "url_path",
        "ts_request_sequence_id",
        "data",
    ]


def test_all_headers_are_found_in_any_case_too(context: Context) -> None:
    headers = context.get_all_request_header(0)
    assert headers["content-type"] == headers.get("CONTENT-TYPE") == headers["Content-Type"] == "text/plain"
    assert "x-request-tag" in headers
    assert headers.get("x-none", "default") == "default"
    assert "x-none" not in headers
    with pytest.raises(KeyError):
        headers["x-none"]
