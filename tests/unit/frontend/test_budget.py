"""The byte budget: what is taken is given back, and those that wait for room are served in order."""

from __future__ import annotations

import pytest

from stoker.errors import TooManyIncomplete
from stoker.frontend.budget import ByteBudget, RequestBudget, Share, UnreadAnswers


def test_bytes_fit_until_the_limit_is_reached() -> None:
    budget = ByteBudget(100)
    assert budget.fits(100)
    budget.take(60)
    assert budget.room == 40
    assert budget.fits(40)
    assert not budget.fits(41)
    budget.give(1)
    assert budget.fits(41)


def test_bytes_that_are_already_there_count_beyond_the_limit() -> None:
    budget = ByteBudget(10)
    budget.take(15)
    assert budget.room == -5
    assert not budget.fits(1)


def test_a_request_larger_than_the_budget_goes_when_it_is_alone() -> None:
    budget = ByteBudget(10)
    assert budget.fits(50)
    budget.take(1)
    assert not budget.fits(50)


def test_a_call_for_room_that_is_there_is_made_at_once() -> None:
    calls: list[str] = []
    ByteBudget(10).when_room(lambda: calls.append("served"), 10)
    assert calls == ["served"]


def test_those_that_wait_are_served_in_order_even_where_a_later_one_would_fit() -> None:
    budget, calls = ByteBudget(100), list[str]()
    budget.take(100)

    def serve(name: str, size: int) -> None:
        calls.append(name)
        budget.take(size)

    budget.when_room(lambda: serve("large", 80), 80)
    budget.when_room(lambda: serve("small", 10), 10)
    budget.give(50)
    assert calls == []
    assert not budget.fits(1), "a newcomer would overtake both"
    budget.give(40)
    assert calls == ["large", "small"]
    assert budget.room == 0


def test_who_is_served_takes_the_room_before_the_next_is_looked_at() -> None:
    budget, calls = ByteBudget(10), list[int]()
    budget.take(10)

    def serve(number: int) -> None:
        calls.append(number)
        budget.take(10)

    budget.when_room(lambda: serve(1), 10)
    budget.when_room(lambda: serve(2), 10)
    budget.give(10)
    assert calls == [1]
    budget.give(10)
    assert calls == [1, 2]


def test_a_forgotten_call_is_never_made_and_blocks_nobody() -> None:
    budget, calls = ByteBudget(10), list[str]()
    budget.take(8)
    large = budget.when_room(lambda: calls.append("large"), 9)
    budget.when_room(lambda: calls.append("small"), 2)
    budget.forget(large)
    budget.forget(large)
    budget.give(8)
    assert calls == ["small"]


def test_a_call_may_give_back_what_lets_the_next_one_go() -> None:
    budget, calls = ByteBudget(10), list[str]()
    budget.take(10)

    def refused() -> None:
        calls.append("first begins")
        budget.give(5)
        calls.append("first ends")

    budget.when_room(refused, 5)
    budget.when_room(lambda: calls.append("second"), 10)
    budget.give(5)
    assert calls == ["first begins", "first ends", "second"]


# ------------------------------------------------------------------------------------------------- shares


def share_of(budget: RequestBudget, size: int, calls: list[str] | None = None, *, meanwhile: int = 0) -> Share:
    share = Share(budget)
    share.reserve(size, lambda: None if calls is None else calls.append("served"), meanwhile=meanwhile)
    return share


def test_a_share_is_given_back_whole_and_once() -> None:
    budget, calls = RequestBudget(16), list[str]()
    share = share_of(budget, 8, calls)
    share.hold(3)
    assert (budget.taken, share.size, share.waits, calls) == (12, 12, False, [])
    share.give_back()
    share.give_back()
    assert (budget.taken, share.empty) == (0, True)


def test_a_share_that_waits_is_told_when_it_has_its_room() -> None:
    budget, calls = RequestBudget(16), list[str]()
    first, second = share_of(budget, 8), share_of(budget, 8, calls)
    assert second.waits and not second.empty
    first.give_back()
    assert (calls, second.waits, second.size, budget.taken) == (["served"], False, 9, 9)


def test_a_share_that_is_given_back_while_it_waits_is_never_served() -> None:
    budget, calls = RequestBudget(16), list[str]()
    first, second = share_of(budget, 8), share_of(budget, 8, calls, meanwhile=2)
    second.give_back()
    first.give_back()
    assert (calls, second.waits, budget.taken) == ([], False, 0)


def test_what_a_waiting_share_holds_counts_until_it_is_served() -> None:
    budget = RequestBudget(16)
    first, second = share_of(budget, 8), share_of(budget, 8, meanwhile=3)
    assert budget.taken == 12
    first.give_back()
    assert (budget.taken, second.size) == (9, 9)


def test_bytes_that_do_not_wait_have_a_quarter_of_their_own_when_the_rest_is_taken() -> None:
    budget = RequestBudget(16)
    shares = [share_of(budget, 8), *(Share(budget) for _ in range(4))]
    for share, size in zip(shares[1:4], (3, 2, 2), strict=True):
        share.hold(size)
    assert (budget.reserved.taken, budget.unreserved.taken, budget.short) == (12, 4, True)
    with pytest.raises(TooManyIncomplete):
        shares[4].hold(1)
    shares[2].give_back()
    shares[4].hold(1)
    assert (budget.taken, budget.unreserved.taken) == (15, 3)


def test_a_request_that_may_not_even_wait_leaves_the_budget_as_it_was() -> None:
    budget = RequestBudget(16)
    first, second = share_of(budget, 8), share_of(budget, 8, meanwhile=1)
    with pytest.raises(TooManyIncomplete):
        share_of(budget, 8, meanwhile=4)
    first.give_back()
    second.give_back()
    assert (budget.taken, budget.short) == (0, False)


def test_a_connection_has_a_quarter_of_the_budget_and_leaves_the_rest_to_others() -> None:
    budget, calls = RequestBudget(64), list[str]()
    own = budget.of_connection()
    first, second, third = (Share(budget, own) for _ in range(3))
    first.reserve(8, lambda: None, meanwhile=0)
    second.reserve(8, lambda: calls.append("second"), meanwhile=1)
    third.reserve(8, lambda: calls.append("third"), meanwhile=1)
    assert (second.waits, third.waits, own.taken, budget.taken) == (True, True, 9, 11)
    assert not share_of(budget, 24).waits, "another connection"
    first.give_back()
    assert (calls, second.waits, third.waits, own.taken) == (["second"], False, True, 9)
    third.give_back()
    second.give_back()
    assert (calls, own.taken, budget.taken) == (["second"], 0, 27)


def test_a_share_with_room_in_its_connection_still_waits_for_others() -> None:
    budget, calls = RequestBudget(64), list[str]()
    own = budget.of_connection()
    others = share_of(budget, 36)
    first, second = Share(budget, own), Share(budget, own)
    first.reserve(8, lambda: calls.append("first"), meanwhile=0)
    second.reserve(8, lambda: calls.append("second"), meanwhile=0)
    assert (first.waits, second.waits, own.taken) == (True, True, 9)
    first.give_back()
    assert (second.waits, own.taken, calls) == (True, 9, []), "it stands in the other queue now"
    others.give_back()
    assert (calls, second.waits, budget.taken) == (["second"], False, 9)


def test_small_requests_of_a_connection_that_has_its_part_take_what_does_not_wait() -> None:
    budget = RequestBudget(64)
    own = budget.of_connection()
    shares = [Share(budget, own) for _ in range(4)]
    for share in shares[:3]:
        share.hold(8)
    assert (budget.reserved.taken, budget.unreserved.taken, own.taken) == (16, 8, 16)
    shares[3].hold(8)
    with pytest.raises(TooManyIncomplete):
        shares[3].hold(1)


def test_a_complete_request_counts_beyond_the_limit_and_others_wait_for_it() -> None:
    budget, calls = RequestBudget(100), list[str]()
    complete, other = Share(budget), Share(budget)
    complete.take(200)
    other.reserve(10, lambda: calls.append("served"), meanwhile=0)
    assert (budget.taken, calls) == (200, [])
    complete.give_back()
    assert calls == ["served"]


# ------------------------------------------------------------------------------------------ unread answers


class Connection:
    def __init__(self) -> None:
        self.given_up = False

    def give_up(self) -> None:
        self.given_up = True


def test_the_reader_that_leaves_most_unread_is_given_up_and_no_other() -> None:
    answers, small, large = UnreadAnswers(1_300_000), Connection(), Connection()
    answers.set(small, 300_000)
    answers.set(large, 600_000)
    assert answers.total <= 1_300_000
    answers.set(small, 450_000)
    assert (small.given_up, large.given_up) == (False, True)
    answers.set(small, 0)
    assert answers.total == 0


def test_what_holding_an_answer_takes_counts_beside_its_bytes() -> None:
    answers, reader = UnreadAnswers(1 << 30), Connection()
    answers.set(reader, 1_000_000)
    assert 1_250_000 < answers.total < 1_400_000


def test_answers_that_cannot_be_dropped_get_half_and_count_until_they_are_given_back() -> None:
    answers, reader = UnreadAnswers(2_000_000), Connection()
    assert answers.hold(600_000)
    assert not answers.hold(100_000)
    answers.set(reader, 700_000)
    assert not reader.given_up
    answers.give(600_000)
    assert answers.hold(600_000)
    answers.set(reader, 0)
    answers.give(600_000)
    assert answers.total == 0


def test_a_reader_is_given_up_for_an_answer_that_cannot_be_dropped() -> None:
    answers, reader = UnreadAnswers(2_000_000), Connection()
    answers.set(reader, 1_200_000)
    assert answers.hold(600_000)
    assert reader.given_up
    answers.give(600_000)
    assert answers.total == 0


def test_what_was_read_counts_no_more() -> None:
    answers, reader = UnreadAnswers(1_000_000), Connection()
    for _ in range(10):
        answers.set(reader, 700_000)
        answers.set(reader, 0)
    assert (answers.total, reader.given_up) == (0, False)
    answers.set(reader, 1_000_001)
    assert (answers.total, reader.given_up) == (0, True)
