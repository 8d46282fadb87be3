"""The status tables: every error has a row, and no row says OK."""

from __future__ import annotations

import inspect

import pytest

from stoker import errors as e
from stoker.frontend.grpc.status import (
    INFERENCE,
    MANAGEMENT,
    MAX_DETAILS_BYTES,
    OK,
    code_of_number,
    inference_status,
    management_status,
)

SERVING_ERRORS = [
    kind for _, kind in inspect.getmembers(e, inspect.isclass) if issubclass(kind, e.ServingError) and kind.__doc__
]


def an(kind: type[e.ServingError]) -> e.ServingError:
    """An instance of any error class, whatever its constructor wants."""
    made = kind.__new__(kind)
    Exception.__init__(made, "words")
    made.message = "words"
    if isinstance(made, e.HandlerError):
        made.number = 503
    if isinstance(made, e.NodeFailed):
        made.error = e.ServingError("words")
    return made


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
@pytest.mark.parametrize("kind", SERVING_ERRORS)
def test_every_serving_error_has_a_code_that_is_not_ok_in_both_services(
    kind: type[e.ServingError], mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    for table in (inference_status(mode), management_status(mode)):
        assert table(an(kind)).code != OK
    assert not caplog.records, "an error without a row is taken for a mistake of ours"


@pytest.mark.parametrize("table", [INFERENCE, MANAGEMENT])
def test_no_row_stands_for_an_exception_outside_the_family(table: dict[type[Exception], object]) -> None:
    assert all(issubclass(kind, e.ServingError) for kind in table)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (200, 2),
        (299, 2),
        (400, 3),
        (401, 16),
        (403, 7),
        (404, 5),
        (409, 10),
        (413, 8),
        (429, 8),
        (416, 11),
        (499, 1),
        (501, 12),
        (503, 14),
        (504, 4),
        (402, 9),
        (498, 9),
        (500, 13),
        (507, 13),
        (599, 13),
        (600, 2),
        (0, 2),
        (-1, 2),
        (100, 2),
    ],
)
def test_a_workers_number_becomes_the_contracts_code(number: int, code: int) -> None:
    assert code_of_number(number) == code


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
def test_only_an_exception_with_the_handlers_own_number_is_mapped_by_it(mode: str) -> None:
    table = inference_status(mode)
    assert table(e.HandlerRefused("words", 404)).code == 5
    assert table(e.HandlerRaised("words", 404)).code != 5


def test_a_token_error_is_a_single_line() -> None:
    assert "\n" not in inference_status("correct")(e.TokenRejected()).details


def test_an_unknown_exception_is_logged_with_its_stack_and_hidden_from_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = inference_status("correct")(KeyError("/etc/secret"))
    assert status == (13, "Internal server error\nInternalServerException.()")
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("character", ["a", " ", "\n", "\u00e9", "\U0001f600", "\ud800"])
def test_details_never_outgrow_what_clients_accept(character: str) -> None:
    details = inference_status("correct")(e.HandlerRefused(character * 10_000, 400)).details
    encoded = sum(1 if 32 <= byte < 127 else 3 for byte in details.encode())
    assert MAX_DETAILS_BYTES // 4 < encoded <= MAX_DETAILS_BYTES
    assert details.splitlines()[-1] == "org.pytorch.serve.http.InternalServerException"


def test_a_message_that_fits_is_left_alone() -> None:
    words = "w" * 3000
    assert inference_status("correct")(e.HandlerRefused(words, 400)).details.splitlines()[0] == words
