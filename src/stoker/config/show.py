"""Lists the effective settings as text, with the source of each. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from stoker.config.load import Loaded
from stoker.config.rows import Row
from stoker.config.settings import ROWS
from stoker.core.secrets import masked

_SECRET = "********"  # noqa: S105 - what is shown instead of one


def lines(loaded: Loaded) -> Iterator[str]:
    """Returns one line per key, in the order of the table: ``key=value # unit; source``."""
    yield f"# properties file: {loaded.file or 'none'}"
    for row in ROWS.values():
        if row.field or row.key in loaded.given:
            yield _line(row, loaded)


def _line(row: Row, loaded: Loaded) -> str:
    given = loaded.given.get(row.key)
    value = row.default_text if given is None else masked(" ".join(given.text.split()))
    notes = [row.unit] if row.unit else []
    notes.append("default" if given is None else given.where)
    notes += [f"no effect: {row.unused}"] if row.unused else []
    return f"{row.key}={_SECRET if row.secret and given is not None else value}  # {'; '.join(notes)}"
