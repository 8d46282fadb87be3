"""Redelivery of jobs whose worker died before beginning them."""

from __future__ import annotations

from stoker.core.job import Job, ModelKey
from stoker.scheduling import redelivery
from stoker.scheduling.redelivery import MOST_RETURNS, Redelivery


def job() -> Job:
    return Job(ModelKey("m", "1.0"), [])


def test_a_suspected_job_is_sent_again_once_and_alone() -> None:
    known, suspect = Redelivery(), job()
    assert known.allows(suspect, suspected=True) and suspect.alone
    assert not known.allows(suspect, suspected=True)


def test_a_job_that_only_waited_shares_a_batch_again_but_not_for_ever() -> None:
    known, behind = Redelivery(), job()
    assert known.allows(behind, suspected=False) and not behind.alone
    assert known.allows(behind, suspected=False) and behind.alone, "it shows what it does to an idle worker"
    goes = [known.allows(behind, suspected=False) for _ in range(MOST_RETURNS - 2)]
    assert goes == [True] * (MOST_RETURNS - 3) + [False]


def test_one_job_is_not_suspected_for_another() -> None:
    known = Redelivery()
    assert all(known.allows(job(), suspected=True) for _ in range(10))


def test_what_is_known_of_old_deaths_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(redelivery, "_REMEMBERED", 3)
    known, first = Redelivery(), job()
    known.allows(first, suspected=True)
    for _ in range(3):
        known.allows(job(), suspected=True)
    assert len(known._past) == 3
    assert known.allows(first, suspected=True)
