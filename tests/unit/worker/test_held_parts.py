"""Parts of a dense stream leave together, in order, and before whatever follows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from worker_rig import Rig, part

from stoker.ipc.to_server import Failure, Meta
from stoker.ipc.to_worker import Cancel
from stoker.worker.calling import InvalidPart
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled
from stoker.worker.streaming import send_intermediate_predict_response as send


def dense(context: Context, parts: str) -> None:
    """Within half a millisecond each, as the rig's clock stands still."""
    for each in parts:
        part(context, each)


@pytest.fixture
def narrow() -> Iterator[Rig]:
    rig = Rig(window_bytes=10)
    yield rig
    rig.close()


@pytest.mark.usefixtures("no_flusher")
def test_parts_of_a_dense_stream_leave_together_and_before_their_result(rig: Rig) -> None:
    rig.predict(b"a")
    rig.run(lambda data, context: dense(context, "abcdefgh") or ["end"])
    assert rig.messages() == [b"a", b"b", b"c", b"defgh", b"end"]


@pytest.mark.usefixtures("no_flusher")
def test_a_part_that_comes_a_while_after_the_last_takes_along_what_is_held(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcde")
        assert rig.messages() == [b"a", b"b", b"c"]
        rig.time.now += 0.02
        part(context, "f")
        assert rig.messages() == [b"def"]
        rig.time.now += 0.02
        part(context, "g")
        assert rig.messages() == [b"g"]
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert rig.messages() == [b"end"]


def test_what_is_held_leaves_though_the_handler_sends_no_more(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcde")
        seen = b""
        while seen != b"abcde":
            seen += rig.server.receive()[1]
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert rig.messages() == [b"end"]


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_leaves_before_the_handler_waits_for_credit(narrow: Rig) -> None:
    def script(context: Context) -> Any:
        dense(context, "abcdefghij")
        narrow.server.send(Cancel(1, 0))
        part(context, "never sent")

    narrow.predict(b"a")
    narrow.run(lambda data, context: script(context))
    assert narrow.messages() == [b"a", b"b", b"c", b"defghij", b""]


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_is_not_changed_by_a_handler_that_uses_its_buffer_again(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        buffer = bytearray(b".")
        for number in range(6):
            buffer[0] = ord("a") + number
            part(context, buffer)
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert b"".join(rig.messages()) == b"abcdefend"


@pytest.mark.usefixtures("no_flusher")
def test_parts_that_are_held_keep_the_headers_that_were_set_before_them(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcde")
        context.set_response_header(0, "k", "v")
        dense(context, "fg")
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert [answer.metas for answer in rig.answers()] == [{}] * 5 + [{0: Meta(200, "", {"k": "v"})}] * 3


@pytest.mark.usefixtures("no_flusher")
def test_parts_behind_a_change_of_headers_are_held_for_as_long_as_others(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcde")
        context.set_response_header(0, "k", "v")
        for each in "fgh":
            rig.time.now += 0.0004
            part(context, each)
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert rig.messages() == [b"a", b"b", b"c", b"de", b"fgh", b"end"]


@pytest.mark.usefixtures("no_flusher")
def test_each_batch_begins_to_gather_anew(rig: Rig) -> None:
    """Nothing of the batch before makes its first parts wait, or those that it holds leave early."""

    def handle(data: Any, context: Context) -> Any:
        for each in "abcdef":
            rig.time.now += 0.0004
            part(context, each)
        return ["end"]

    rig.predict(b"a")
    rig.predict(b"b")
    rig.run(handle)
    assert rig.messages() == [b"a", b"b", b"c", b"def", b"end"] * 2


@pytest.mark.usefixtures("no_flusher")
def test_what_a_handler_had_sent_when_it_failed_or_was_cancelled_leaves_too(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcdef")
        if bytes(data[0]["data"]) == b"fails":
            raise ValueError
        rig.server.send(Cancel(2, 0))
        rig.time.now += 1
        part(context, "never sent")

    rig.predict(b"fails")
    rig.predict(b"is cancelled")
    rig.run(handle)
    assert [b"".join(answer.items) for answer in rig.answers() if answer.part] == [b"%c" % c for c in b"abcdef"] * 2


@pytest.mark.usefixtures("no_flusher")
def test_parts_for_several_requests_leave_together_each_to_its_own(rig: Rig) -> None:
    def script(context: Context) -> Any:
        assert context.request_ids is not None
        for number in range(6):
            part(context, f"a{number}", f"b{number}")
        send(["only", "b"], {1: context.request_ids[1]}, "", 200, context)
        return ["", ""]

    rig.predict(b"x", b"y")
    rig.run(lambda data, context: script(context))
    parts = [answer.items for answer in rig.answers() if answer.part]
    assert parts == [[b"a%d" % n, b"b%d" % n] for n in range(6)] + [[None, b"b"]]


@pytest.mark.usefixtures("no_flusher")
def test_parts_of_a_dense_stream_count_as_unread_for_each_reader_by_itself(rig: Rig) -> None:
    seen: list[dict[int, int]] = []

    def handle(data: Any, context: Context) -> Any:
        for number in range(8):
            part(context, "ä" * number, b"b")
        batch = rig.inbox.current
        assert batch is not None
        rig.sender.held.queue(batch)
        seen.append(batch.unread)
        return ["", ""]

    rig.predict(b"x", b"y")
    rig.run(handle)
    assert seen == [{0: 2 * sum(range(8)), 1: 8}]


@pytest.mark.usefixtures("no_flusher")
@pytest.mark.parametrize("bad", [["\ud800"], [], "a", [object()]], ids=["not text", "too few", "no list", "no bytes"])
def test_a_part_that_breaks_a_rule_is_refused_within_a_dense_stream_too(rig: Rig, bad: Any) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcdef")
        assert context.request_ids is not None
        with pytest.raises(InvalidPart):
            send(bad, context.request_ids, "", 200, context)
        dense(context, "gh")
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert b"".join(rig.messages()) == b"abcdefghend"


@pytest.mark.usefixtures("no_flusher")
def test_a_part_that_is_too_large_fails_its_request_within_a_dense_stream_too(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcdef")
        part(context, "x" * ((1 << 20) + 1))
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    *parts, last = rig.answers()
    assert [answer.items for answer in parts] == [[b"%c" % c] for c in b"abcdef"]
    assert isinstance(last.items[0], Failure)
    assert last.items[0].kind == "too_large"


@pytest.mark.usefixtures("no_flusher")
def test_a_cancellation_ends_a_dense_stream_at_the_next_part_after_it_was_read(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcdef")
        rig.server.send(Cancel(1, 0))
        assert context.is_cancelled(0) is False, "the socket was read a moment ago"
        rig.inbox.poll()
        with pytest.raises(JobCancelled):
            part(context, "never sent")
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    assert b"".join(rig.messages()) == b"abcdef"


@pytest.mark.usefixtures("no_flusher")
def test_an_error_within_a_dense_stream_ends_it(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        dense(context, "abcdef")
        send([], context.request_ids or {}, "no more", 400, context)
        return ["end"]

    rig.predict(b"a")
    rig.run(handle)
    *parts, last = rig.answers()
    assert [answer.items for answer in parts] == [[b"%c" % c] for c in b"abcdef"]
    assert last.items == [Failure("refused", 400, "no more")]


@pytest.mark.usefixtures("no_flusher")
def test_parts_for_all_follow_those_for_one_in_a_dense_stream(rig: Rig) -> None:
    def handle(data: Any, context: Context) -> Any:
        assert context.request_ids is not None
        for number in range(4):
            send(["", f"b{number}"], {1: context.request_ids[1]}, "", 200, context)
        for number in range(4, 7):
            part(context, f"a{number}", f"b{number}")
        return ["", ""]

    rig.predict(b"x", b"y")
    rig.run(handle)
    parts = [answer.items for answer in rig.answers() if answer.part]
    assert parts == [[None, b"b%d" % n] for n in range(4)] + [[b"a%d" % n, b"b%d" % n] for n in range(4, 7)]
