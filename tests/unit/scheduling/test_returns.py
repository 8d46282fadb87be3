"""Which jobs are sent again after their worker died before it began them."""

from __future__ import annotations

from stoker.core.job import Job, ModelKey
from stoker.scheduling import returns
from stoker.scheduling.returns import MOST_RETURNS, Returns


def job() -> Job:
    return Job(ModelKey("m", "1.0"), [])


def test_a_suspected_job_goes_again_once_and_alone() -> None:
    known, suspect = Returns(), job()
    assert known.may_go_again(suspect, suspected=True) and suspect.alone
    assert not known.may_go_again(suspect, suspected=True)


def test_a_job_that_only_waited_shares_a_batch_again_but_not_for_ever() -> None:
    known, behind = Returns(), job()
    assert known.may_go_again(behind, suspected=False) and not behind.alone
    assert known.may_go_again(behind, suspected=False) and behind.alone, "it shows what it does to an idle worker"
    goes = [known.may_go_again(behind, suspected=False) for _ in range(MOST_RETURNS - 2)]
    assert goes == [True] * (MOST_RETURNS - 3) + [False]


def test_one_job_is_not_suspected_for_another() -> None:
    known = Returns()
    assert all(known.may_go_again(job(), suspected=True) for _ in range(10))


def test_what_is_known_of_old_deaths_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(returns, "_REMEMBERED", 3)
    known, first = Returns(), job()
    known.may_go_again(first, suspected=True)
    for _ in range(3):
        known.may_go_again(job(), suspected=True)
    assert len(known._past) == 3
    assert known.may_go_again(first, suspected=True)
