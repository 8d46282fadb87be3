"""Commands end with a status and a sentence, whatever their standard streams are connected to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PREFIX = "import sys\nfrom stoker.cli import console\n"


def program(body: str) -> list[str]:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return [sys.executable, "-c", f"{PREFIX}@console.command\ndef main():\n{lines}\nsys.exit(main())"]


def shell(redirection: str, command: Sequence[str], env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status of the command, what arrived, and its standard error. ``"$@"`` is the command."""
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {redirection}', "bash", *command],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_reader_that_leaves_ends_an_endless_output_quietly() -> None:
    assert shell("| head -1", program("while True: print('line')")) == (141, "line\n", "")


def test_a_reader_that_never_reads_costs_no_words() -> None:
    status, _, errors = shell("| true", program("for _ in range(3):\n  print('x' * 99999)"))
    assert (status, errors) == (141, "")


def test_a_full_disk_is_one_sentence() -> None:
    status, _, errors = shell("> /dev/full", program("print('x')\nreturn 0"))
    assert (status, errors) == (1, "error: the output cannot be written: No space left on device\n")


def test_a_closed_output_is_no_trouble_and_no_file_gets_its_number(tmp_path: Path) -> None:
    body = f"file = open({str(tmp_path / 'file')!r}, 'w')\nprint('x')\nassert file.fileno() > 2\nreturn 0"
    assert shell(">&- 2>&- <&-", program(body))[0] == 0
    assert (tmp_path / "file").read_text() == ""


def test_errors_that_cannot_be_written_do_not_change_the_status() -> None:
    assert shell("2> /dev/full", program("raise FileNotFoundError(2, 'gone', 'x')"))[0] == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_locale_cannot_show_is_escaped(encoding: str) -> None:
    env = {"PYTHONIOENCODING": encoding}
    status, text, errors = shell("", program(r"print('\u2713 \udcff')" + "\nreturn 0"), env)
    assert (status, errors) == (0, "")
    assert text == ("\u2713 \\udcff\n" if encoding == "utf-8" else "\\u2713 \\udcff\n")


def test_a_server_outlives_its_output() -> None:
    printing = "for _ in range(1000):\n  print('x' * 999)"
    body = f"console.drop_failed_output()\n{printing}\nprint('end', file=sys.stderr)\nreturn 7"
    for redirection in ("> /dev/full", "| true"):
        assert shell(redirection, program(body)) == (7, "", "end\n")
