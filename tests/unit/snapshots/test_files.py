from __future__ import annotations

from datetime import datetime

from stoker.snapshots import files


def test_names_tell_the_order_and_other_files_are_none() -> None:
    names = [
        "20250101000000000-startup.cfg",
        "x.cfg",
        "20260101000000000-shutdown.cfg",
        "99999999999999999-startup.cfg",
    ]
    assert files.newest_first(names) == ["20260101000000000-shutdown.cfg", "20250101000000000-startup.cfg"]


def test_a_new_name_is_behind_all_others_also_when_the_clock_was_set_back() -> None:
    now = datetime(2026, 3, 4, 5, 6, 7, 89_000)
    assert files.next_name("startup", now, []) == "20260304050607089-startup.cfg"
    later = ["20260304060000999-snapshot.cfg"]
    assert files.next_name("shutdown", now, later) == "20260304060001000-shutdown.cfg"
