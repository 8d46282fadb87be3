"""``python -m stoker`` and the same for the packages with commands of their own."""

from __future__ import annotations

import runpy
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "usage"),
    [("stoker", "Usage: stoker"), ("model_archiver", "usage: "), ("workflow_archiver", "usage: ")],
)
def test_a_package_with_a_command_runs_it(
    package: str, usage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [package, "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module(package, run_name="__main__")
    assert left.value.code in (0, None)
    assert usage in capsys.readouterr().out
