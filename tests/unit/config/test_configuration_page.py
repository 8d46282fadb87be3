"""The page of settings is what the tables say."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.config import reference
from stoker.config.model_keys import MODEL_KEYS
from stoker.config.settings import ROWS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def test_the_page_is_not_stale() -> None:
    made = reference.text()
    assert PAGE.read_text(encoding="utf-8") == made, "python -m stoker.config.reference docs/configuration.md"


@pytest.mark.parametrize("key", [*ROWS, *(key.name for key in MODEL_KEYS)])
def test_every_key_has_one_row(key: str) -> None:
    rows = [line for line in reference.text().splitlines() if line.startswith(f"| `{key}`")]
    assert len(rows) == 1


def test_a_reason_stands_beside_what_has_no_effect() -> None:
    lines = reference.text().splitlines()
    for row in ROWS.values():
        if row.unused:
            assert next(line for line in lines if line.startswith(f"| `{row.key}`")).endswith(f"| {row.unused} |")


def test_it_prints_without_a_file_and_writes_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference.main([])
    reference.main([str(tmp_path / "page.md")])
    assert capsys.readouterr().out == (tmp_path / "page.md").read_text(encoding="utf-8") == reference.text()
