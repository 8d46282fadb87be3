"""How the parameters of a management request are read."""

from __future__ import annotations

import pytest

from stoker.errors import BadRequest
from stoker.frontend.http.parameters import Parameters, all_of, from_query, from_request

JSON = "application/json"


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("5", 5),
        ("+5", 5),
        ("-1", -1),
        ("007", 7),
        ("2147483647", 2147483647),
        ("2147483648", 42),
        ("-2147483649", 42),
        ("", 42),
        (" 5", 42),
        ("5.0", 42),
        ("5_0", 42),
        ("0x5", 42),
        ("five", 42),
        ("9" * 5000, 42),
    ],
)
def test_a_number_in_a_query_that_is_none_takes_its_default_in_silence(word: str, number: int) -> None:
    assert Parameters({"n": word}).whole("n", 42) == number


@pytest.mark.parametrize(("word", "value"), [("true", True), ("TRUE", True), ("1", False), ("", False), ("yes", False)])
def test_a_flag_is_true_only_for_the_word(word: str, value: bool) -> None:
    assert Parameters({"f": word}).flag("f", True) is value


def test_what_is_not_given_takes_its_default() -> None:
    nothing = from_query("")
    assert nothing.whole("n") is None and nothing.whole("n", 3) == 3
    assert nothing.flag("f", True) is True and nothing.flag("f", False) is False
    assert nothing.text("t") is None and not nothing.given("t")


def test_of_a_name_that_is_given_twice_the_first_value_counts() -> None:
    assert from_query("a=1&a=2").text("a") == "1"


def test_an_empty_text_is_given_but_says_nothing() -> None:
    asked = from_query("url=")
    assert asked.given("url") and asked.text("url") is None


def test_a_query_is_percent_decoded_and_a_plus_is_a_space() -> None:
    assert from_query("url=a%2Fb+c%ff").text("url") == "a/b c\ufffd"


def test_every_value_of_a_repeated_name_is_found() -> None:
    assert all_of("name[]=a&x=1&name%5B%5D=b", "name[]") == ["a", "b"]


@pytest.mark.parametrize("content_type", [JSON, "Application/JSON; charset=utf-8"])
def test_a_json_body_takes_the_place_of_the_query(content_type: str) -> None:
    asked = from_request("url=q&handler=h", content_type, b'{"url": "b", "synchronous": false, "batch_size": 4}')
    assert asked.text("url") == "b" and asked.text("handler") is None
    assert asked.flag("synchronous", True) is False and asked.whole("batch_size") == 4


@pytest.mark.parametrize("body", [b"", b'{"url": "b"}'])
def test_a_body_of_another_type_or_none_leaves_the_query(body: bytes) -> None:
    content_type = "application/x-www-form-urlencoded" if body else JSON
    assert from_request("url=q", content_type, body).text("url") == "q"


@pytest.mark.parametrize(
    ("body", "number"), [(b'{"n": "7"}', 7), (b'{"n": 7.0}', 7), (b'{"n": null}', 42), (b"{}", 42)]
)
def test_numbers_of_a_json_body_may_be_written_as_text(body: bytes, number: int) -> None:
    assert from_request("", JSON, body).whole("n", 42) == number


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"n": {}}', "Parameter n has a value of the wrong kind"),
        (b'{"n": [1]}', "Parameter n has a value of the wrong kind"),
        (b'{"n": 1.5}', "Parameter n has a value of the wrong kind"),
        (b'{"n": NaN}', "Parameter n has a value of the wrong kind"),
        (b'{"n": "x"}', "Parameter n is not a whole number"),
        (b'{"n": 99999999999}', "Parameter n is not a whole number"),
        (b'{"n": 1e300}', "Parameter n is not a whole number"),
    ],
)
def test_a_wrong_json_body_is_an_error_that_says_what_is_wrong(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        from_request("", JSON, body).whole("n")
