"""Implements ``torch-model-archiver``: TorchServe's flags in argparse's spelling (abbreviations included)."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from stoker.archive import builder
from stoker.cli import console, progress
from stoker.cli.suggesting import SuggestingParser
from stoker.core.model import RUNTIMES
from stoker.errors import ArchiveNotBuilt

_EPILOG = """examples:
  torch-model-archiver --model-name densenet161 --version 1.0 --serialized-file densenet161.pt \\
      --handler image_classifier --extra-files index_to_name.json
  torch-model-archiver --model-name chat --version 2.0 --handler handler.py:handle --config-file model-config.yaml \\
      --extra-files weights/,tokenizer/*.json --archive-format no-archive --export-path model_store
"""


def make_parser() -> argparse.ArgumentParser:
    parser = SuggestingParser(
        prog="torch-model-archiver",
        description="Packs a model, its handler and its files into one archive that the server can load.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_contents(parser)
    _add_output(parser)
    return parser


def _add_contents(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model-name", required=True, help="name of the model, and of the archive: letters, digits, '_', '-', '.'")
    add("--serialized-file", help="weights: a .pt, .pth, .onnx ... file; not needed if the handler finds them itself")
    add("--model-file", help="Python file with the model class, and no other; needed for eager-mode weights")
    add(
        "--handler",
        required=True,
        help="a handler of the server (image_classifier, text_classifier, object_detector, image_segmenter, "
        "base_handler, ...) or the path of a Python file, optionally followed by :function",
    )
    add("--extra-files", help="comma-separated files, directories (their contents go to the root) and patterns")
    add("-v", "--version", required=True, help="version of the model, for example 1.0")
    add("-r", "--requirements-file", help="packages that the model needs; see install_py_dep_per_model")
    add("-c", "--config-file", help="the model's own configuration (model-config.yaml)")
    add("--runtime", default="python", choices=RUNTIMES, help="what runs the handler (default: python)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--export-path", help="directory to write the archive to (default: the current one); created if it is missing")
    add(
        "--archive-format",
        default="default",
        choices=builder.FORMATS,
        help="default: a compressed .mar; zip-store: an uncompressed .mar; tgz: a .tar.gz; no-archive: a directory",
    )
    add("-f", "--force", action="store_true", help="replace an existing archive")
    add("-q", "--quiet", action="store_true", help="show no progress, and print nothing on success")


def to_request(args: argparse.Namespace) -> builder.BuildRequest:
    return builder.BuildRequest(**{key: value for key, value in vars(args).items() if key != "quiet"})


def shown_progress(name: str, *, quiet: bool) -> builder.Progress:
    """Shows a progress bar on a terminal once building takes some time."""
    return lambda total: progress.counted_bytes(f"Packing {name}", total, quiet=quiet)


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 built, 1 not built. argparse itself exits with status 2 on bad usage."""
    args = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s - %(message)s")
    try:
        target = builder.build(to_request(args), shown_progress(args.model_name, quiet=args.quiet))
    except (ArchiveNotBuilt, OSError) as error:
        print(f"ERROR - {console.described(error)}", file=sys.stderr)
        return 1
    if not args.quiet:
        print(f"Successfully exported model {args.model_name} to file {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
