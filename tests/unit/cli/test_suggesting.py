"""Options of argparse commands that do not exist."""

from __future__ import annotations

import pytest

from stoker.cli.archiver import make_parser
from stoker.cli.arguments import ArgParser


@pytest.mark.parametrize(
    ("parser", "words", "message"),
    [
        (
            ArgParser.ts_parser(),
            ["--modle-store", "x"],
            "unrecognized arguments: --modle-store x. Did you mean --model-store?",
        ),
        (ArgParser.ts_parser(), ["--zzzz"], "unrecognized arguments: --zzzz\n"),
        (ArgParser.ts_parser(), ["stop"], "unrecognized arguments: stop\n"),
        (
            make_parser(),
            ["--model-name", "m", "--handler", "h", "-v", "1", "--serialised-file", "w"],
            "Did you mean --serialized-file?",
        ),
    ],
)
def test_the_nearest_option_is_named(
    capsys: pytest.CaptureFixture[str], parser: object, words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(words)  # type: ignore[attr-defined]
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
