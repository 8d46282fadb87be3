"""Which sequence a request names, and what its reply says."""

from __future__ import annotations

import pytest

from stoker import errors
from stoker.core.job import Input, Job, ModelKey
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.sequences import Membership, SequenceLimits, SequenceNames, SequenceReply, in_sequence, membership

NAMES = SequenceNames()
LIMITS = SequenceLimits(max_idle_s=1.0)


def member(headers: dict[str, str] | None = None, field: str = "", **inputs: bytes) -> Membership:
    return membership(NAMES, [Input(name, "", value) for name, value in inputs.items()], headers, field)


def test_a_request_that_says_nothing_is_of_no_sequence() -> None:
    assert member() == Membership("", False, False)
    assert member({"x": "y"}, data=b"ts_request_sequence_id") == Membership()


def test_field_goes_before_input_goes_before_header() -> None:
    headers = {"ts_request_sequence_id": "header"}
    assert member(headers).id == "header"
    assert member(headers, ts_request_sequence_id=b"input").id == "input"
    assert member(headers, "field", ts_request_sequence_id=b"input").id == "field"


@pytest.mark.parametrize("name", ["TS_REQUEST_SEQUENCE_ID", "Ts_Request_Sequence_Id"])
def test_headers_are_found_in_any_case(name: str) -> None:
    assert member({name: "s"}).id == "s"


def test_other_names_can_be_configured() -> None:
    names = SequenceNames("X-Session", "X-First", "X-Last")
    found = membership(names, [], {"x-session": "s", "x-first": "1", "X-LAST": "TRUE", "ts_request_sequence_id": "t"})
    assert found == Membership("s", True, True)


@pytest.mark.parametrize(
    ("text", "true"), [("true", True), ("True", True), ("1", True), ("yes", False), ("0", False), ("", False)]
)
def test_a_flag_is_true_or_one(text: str, true: bool) -> None:
    assert member({"ts_request_sequence_start": text}).starts is true
    assert member(ts_request_sequence_end=text.encode()).ends is true


@pytest.mark.parametrize("id", ["x" * 256, "a b", "{uuid}", "~"])
def test_an_id_is_printable_ascii(id: str) -> None:
    assert member(field=id).id == id


@pytest.mark.parametrize("id", ["x" * 257, "a;b", "a\tb", "\x7f", "\u00fc"])
def test_anything_else_is_refused(id: str) -> None:
    with pytest.raises(errors.BadRequest, match="printable ASCII"):
        member(field=id)
    with pytest.raises(errors.BadRequest, match="printable ASCII"):
        member(ts_request_sequence_id=id.encode())


def joined(headers: dict[str, str], membership: Membership) -> dict[str, str]:
    job = Job(ModelKey("m", "1.0"), [], headers=headers)
    return dict(in_sequence(job, LIMITS, membership, "generated").headers)


def test_the_handler_sees_the_id_once_and_flags_only_where_they_are_true() -> None:
    headers = {"TS_Request_Sequence_ID": "s", "ts_request_sequence_start": "false", "x": "y"}
    assert joined(headers, Membership("s")) == {"x": "y", "ts_request_sequence_id": "s"}
    assert joined({}, Membership("s", True, True)) == {
        "ts_request_sequence_id": "s",
        "ts_request_sequence_start": "true",
        "ts_request_sequence_end": "true",
    }


def test_a_client_cannot_say_that_its_request_opens_the_sequence() -> None:
    assert "ts_request_sequence_opened" not in joined({"ts_request_sequence_opened": "true"}, Membership("s"))


def test_without_an_id_one_is_generated_and_started() -> None:
    headers = joined({}, Membership("", ends=True))
    assert headers["ts_request_sequence_id"] == "generated"
    assert headers["ts_request_sequence_start"] == headers["ts_request_sequence_end"] == "true"


def test_headers_shared_by_requests_are_not_changed() -> None:
    shared = {"x": "y"}
    joined(shared, Membership("s"))
    assert shared == {"x": "y"}


def test_a_reply_names_its_sequence_where_the_handler_did_not() -> None:
    reply = SequenceReply(sequence_id="s", header="ts_request_sequence_id")
    reply.push_parts([Chunk(b"a"), Chunk(b"b", ResponseMeta(201, headers={"x": "y"}))], 2)
    reply.push(Chunk(b"c", ResponseMeta(headers={"TS_request_sequence_id": "own"})), last=True)
    metas = [chunk.meta for chunk in reply.rest()]
    assert metas == [
        ResponseMeta(headers={"ts_request_sequence_id": "s"}),
        ResponseMeta(201, headers={"x": "y", "ts_request_sequence_id": "s"}),
        ResponseMeta(headers={"TS_request_sequence_id": "own"}),
    ]
