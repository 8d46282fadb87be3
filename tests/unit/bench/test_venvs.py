"""When a contender's virtual environment is made, made anew, or left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from stoker.bench import venvs


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run: ``venv`` or ``pip``."""
    done: list[str] = []

    def run(command: Sequence[str], home: Path) -> None:
        done.append(command[2])
        (home / "bin").mkdir(parents=True, exist_ok=True)
        (home / "bin" / "python").touch()

    monkeypatch.setattr(venvs, "run", run)
    return done


def test_a_second_run_leaves_a_finished_environment_alone(tmp_path: Path, steps: list[str]) -> None:
    venvs.make_venv(tmp_path, ["litserve"])
    assert steps == ["venv", "pip"]
    venvs.make_venv(tmp_path, ["litserve"])
    assert steps == ["venv", "pip"]


def test_other_requirements_are_installed_into_the_same_environment(tmp_path: Path, steps: list[str]) -> None:
    venvs.make_venv(tmp_path, ["litserve"])
    venvs.make_venv(tmp_path, ["litserve", "numpy"])
    assert steps == ["venv", "pip", "pip"]


def test_an_environment_of_another_interpreter_is_made_anew(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    venvs.make_venv(tmp_path, ["litserve"])
    monkeypatch.setattr("sys.base_prefix", "/opt/python")
    venvs.make_venv(tmp_path, ["litserve"])
    assert steps == ["venv", "pip", "venv", "pip"]


def test_an_interrupted_environment_is_made_anew(tmp_path: Path, steps: list[str]) -> None:
    venvs.make_venv(tmp_path, ["litserve"])
    (tmp_path / ".stoker-bench").unlink()
    venvs.make_venv(tmp_path, ["litserve"])
    assert steps == ["venv", "pip", "venv", "pip"]
