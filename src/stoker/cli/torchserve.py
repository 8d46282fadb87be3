"""The command `torchserve`: starts a server in the background or the foreground, stops it, shows its settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from stoker import TORCHSERVE_VERSION, __version__
from stoker.cli import console
from stoker.cli.arguments import ArgParser, StartOptions
from stoker.cli.process_id import SERVER_MARK

TS_NAMESPACE = SERVER_MARK
"""TorchServe's name for it, for scripts that import it from `ts.model_server`."""
VERSION_TEXT = f"TorchServe Version is {TORCHSERVE_VERSION} (stoker {__version__})"


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status, unless this process becomes the server."""
    parsed = ArgParser.ts_parser().parse_args(argv)
    if parsed.version:
        print(VERSION_TEXT)
        return 0
    from stoker.cli import lifecycle  # noqa: PLC0415 - slow to import; --help and --version do without

    if parsed.stop:
        return lifecycle.stop()
    options = StartOptions.of(parsed)
    return lifecycle.print_config(options) if parsed.print_config else lifecycle.run(options, main)


def start() -> None:
    """Runs `torchserve` for `ts.model_server`. As in TorchServe, returns once the server runs."""
    status = main()
    if status:
        sys.exit(status)


def load_properties(file_path: str | Path) -> dict[str, str]:
    """Returns the entries of a properties file, for scripts that import it from `ts.model_server`."""
    from stoker.config import properties  # noqa: PLC0415 - only for those scripts

    text = Path(file_path).read_text(encoding="utf-8")
    return {entry.key: entry.value for entry in properties.parse(text, file=str(file_path))}


if __name__ == "__main__":
    sys.exit(main())
