"""Commands end with a status and a sentence, whatever goes wrong in them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stoker.cli import archiver, console
from stoker.errors import BindError, NoWorkers, StartupError


def raises(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (SystemExit(), 0, ""),
        (SystemExit(2), 2, ""),
        (SystemExit("too bad"), 1, "too bad\n"),
        (KeyboardInterrupt(), 130, ""),
        (StartupError("no start"), 1, "error: no start\n"),
        (BindError(address="a:1", reason="in use"), 3, "error: Cannot listen on a:1: in use\n"),
        (FileNotFoundError(2, "No such file or directory", "m.mar"), 1, "error: m.mar: No such file or directory\n"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (OSError("odd"), 1, "error: odd\n"),
    ],
)
def test_what_a_command_raises_is_a_status_and_a_sentence(
    error: BaseException, status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.command(raises(error))() == status
    assert capsys.readouterr().err == text


def test_an_error_of_the_api_is_a_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.command(raises(NoWorkers("m")))() == 1
    assert capsys.readouterr().err.startswith('error: Model "m" has no worker')


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        console.command(raises(ZeroDivisionError()))()


def test_streams_that_are_not_the_process_own_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In a notebook `print` goes elsewhere."""
    before = sys.stdout
    assert console.command(lambda: print("seen"))() == 0
    assert sys.stdout is before
    assert capsys.readouterr().out == "seen\n"


def test_an_archiver_says_which_folder_it_cannot_use_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "h.py").touch()
    words = ["--model-name", "m", "--version", "1", "--handler", str(tmp_path / "h.py")]
    assert archiver.main([*words, "--export-path", "/proc/nowhere"]) == 1
    assert capsys.readouterr().err == "ERROR - /proc/nowhere: No such file or directory\n"
