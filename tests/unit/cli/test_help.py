"""What `--help` says, and what it does without."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stoker.cli.lazy import LazyCommand
from stoker.cli.stoker import SUBCOMMANDS

PROGRAM = """
import contextlib, importlib, io, sys
main = importlib.import_module(sys.argv[1]).main
with contextlib.redirect_stdout(io.StringIO()) as shown:
    status = main(sys.argv[2:])
assert status == 0 and shown.getvalue(), (status, shown.getvalue())
print(*sorted({"grpc", "torch", "starlette"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "command",
    [
        "stoker.cli.stoker --help",
        "stoker.cli.stoker --version",
        "stoker.cli.stoker serve --help",
        "stoker.cli.stoker archive --help",
        "stoker.cli.stoker client --help",
        "stoker.cli.stoker client workflow --help",
        "stoker.cli.stoker client predict --help",
        "stoker.cli.stoker migrate check --help",
        "stoker.cli.torchserve --help",
        "stoker.cli.torchserve --version",
        "stoker.cli.archiver --help",
        "stoker.cli.workflow_archiver --help",
    ],
)
def test_help_imports_no_large_library_that_it_does_not_need(command: str) -> None:
    call = [sys.executable, "-c", PROGRAM, *command.split()]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("\n", "")


@pytest.mark.parametrize("listed", SUBCOMMANDS, ids=lambda listed: listed.name)
def test_the_list_of_subcommands_says_what_each_says_of_itself(listed: LazyCommand) -> None:
    """The list is written by hand, because reading a subcommand's own help would import it."""
    assert (listed.load().help or "").partition("\n\n")[0].replace("\n", " ") == listed.help
