from __future__ import annotations

import logging
import re
import sys

import pytest

from stoker.telemetry.lines import LineFormatter


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("stoker.pool", logging.WARNING, __file__, 1, message, args, None)
    made.created = 1700000000.9996
    made.__dict__.update(extra)
    return made


def test_a_line_has_date_level_thread_logger_and_message() -> None:
    line = LineFormatter().format(record("%s of %d", "one", 2))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:20,999 \[WARN \] main stoker\.pool - one of 2", line)


def test_the_thread_column_is_the_label_where_there_is_one() -> None:
    assert "] W-9000-m_1.0-stdout MODEL" not in LineFormatter().format(record("x"))
    assert "] W-9000-m_1.0-stdout stoker" in LineFormatter().format(record("x", thread_label="W-9000-m_1.0-stdout"))


@pytest.mark.parametrize("evil", ["a\n2026-01-01 [INFO ] forged", "a\rb", "a\x1b[2Kb", "a\u2028b", "a\x85b", "a\0b"])
def test_no_message_can_forge_a_line_or_move_the_cursor(evil: str) -> None:
    line = LineFormatter().format(record("%s", evil))
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", line)


def test_no_label_can_forge_a_column() -> None:
    assert "] a_b\\nc stoker.pool" in LineFormatter().format(record("x", thread_label="a b\nc"))


def test_the_lines_of_a_traceback_are_indented() -> None:
    """An exception's text may be a stranger's; at the start of a line it could pass for a record."""
    try:
        raise ValueError("x\n2026-01-01T00:00:00,000 [INFO ] main forged - hello")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    first, *rest = LineFormatter().format(made).split("\n")
    assert first.endswith("- failed")
    assert len(rest) > 2
    assert all(line.startswith("    ") for line in rest)


def test_a_wrong_placeholder_is_logged_and_not_raised() -> None:
    assert "%d" in LineFormatter().format(record("%d", "x"))
