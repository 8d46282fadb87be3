"""The tests that docs/quickstart.md shows pass as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"


def code_after(text: str) -> str:
    """Returns the first Python block of the page after ``text``."""
    page = PAGE.read_text()
    block = re.compile(r"```python\n(.*?)```", re.DOTALL).search(page, page.index(text))
    assert block is not None
    return block[1]


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(180)
def test_the_example_of_testing_a_handler_passes(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(code_after("The smallest one, `handler.py`:"))
    (tmp_path / "test_shout.py").write_text(code_after("## Test a handler"))
    run("stoker", "archive", "handler.py", "--name", "shout", "--output", "models/", cwd=tmp_path)
    output = run("pytest", "-p", "no:cacheprovider", "test_shout.py", cwd=tmp_path)
    assert "2 passed" in output
