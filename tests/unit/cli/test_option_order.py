"""Options before or after the subcommand."""

from __future__ import annotations

import shlex

import pytest

from stoker.cli.option_order import Command, WrongOption, arrange

LIST = Command("list", {"--json": 0, "--help": 0})
PREDICT = Command("predict", {"--text": 1, "--version": 1, "--output": 1, "-o": 1, "--help": 0})
CLIENT = Command(
    "client",
    {"--address": 1, "-a": 1, "--tls": 0, "--help": 0},
    {"predict": PREDICT, "list": LIST, "set-default": Command("set-default", {})},
    {"infer": "predict", "infer-stream": "predict"},
)
ROOT = Command("stoker", {"--version": 0, "--help": 0}, {"client": CLIENT, "inspect": Command("inspect", {})})

ORDERED = {
    "client predict m f": "client predict m f",
    "client predict m f --address X": "client --address X predict m f",
    "client predict --address X m f": "client --address X predict m f",
    "client -a X predict m f": "client -a X predict m f",
    "--address X client predict m f": "client --address X predict m f",
    "client --text hi predict m": "client predict --text hi m",
    "--text hi client -a X predict m": "client -a X predict --text hi m",
    "client predict m --text=hi --address=X": "client --address=X predict m --text=hi",
    "client predict m -oF --tls": "client --tls predict m -oF",
    "client predict m --text --address": "client predict m --text --address",
    "client predict m --version 2": "client predict m --version 2",
    "client --version 2 predict m": "client predict --version 2 m",
    "--version": "--version",
    "client --version": "--version client",
    "client infer m -": "client predict m -",
    "client infer_stream m": "client predict m",
    "client set_default m 2": "client set-default m 2",
    "client predict m -- --address X": "client predict m -- --address X",
    "client lst --json": "client lst --json",
    "clint predict": "clint predict",
    "client list --help": "client list --help",
    "client --help": "client --help",
    "": "",
}


@pytest.mark.parametrize("words", ORDERED)
def test_each_option_goes_to_the_command_that_knows_it(words: str) -> None:
    assert arrange(ROOT, shlex.split(words)) == shlex.split(ORDERED[words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("client predict m --adress X", "stoker client predict has no option --adress. Did you mean --address?"),
        ("client predict m --txet=hi", "stoker client predict has no option --txet. Did you mean --text?"),
        ("inspect f --nothing", "stoker inspect has no option --nothing. See stoker inspect --help."),
        (
            "client predict m --endpoint x",
            "stoker client predict has no option --endpoint. See stoker client predict --help.",
        ),
        ("inspect f --text x", "stoker inspect has no option --text. See stoker inspect --help."),
        ("client --json", "stoker client has no option --json. list has it."),
        ("client predict m --address", "--address needs a value."),
    ],
)
def test_an_option_that_nobody_knows_is_refused_with_the_nearest(words: str, message: str) -> None:
    with pytest.raises(WrongOption) as caught:
        arrange(ROOT, shlex.split(words))
    assert str(caught.value).startswith(message)


def test_a_strange_option_is_shown_short_and_clean() -> None:
    with pytest.raises(WrongOption) as caught:
        arrange(ROOT, ["client", "list", "--\x1b[31m" + "x" * 500])
    assert str(caught.value).isprintable() and len(str(caught.value)) < 150
