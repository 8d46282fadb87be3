"""Implements ``torch-workflow-archiver``: TorchServe's flags in argparse's spelling (abbreviations included)."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from stoker.archive import workflow_builder
from stoker.archive.workflow_builder import WorkflowBuildRequest
from stoker.cli import console
from stoker.cli.suggesting import SuggestingParser
from stoker.errors import ArchiveNotBuilt

_EPILOG = """examples:
  torch-workflow-archiver --workflow-name dog_breed --spec-file workflow.yaml --handler functions.py
  torch-workflow-archiver --workflow-name chain --spec-file chain.yaml --export-path wf_store --force
"""


def make_parser() -> argparse.ArgumentParser:
    parser = SuggestingParser(
        prog="torch-workflow-archiver",
        description="Packs the specification of a workflow, its functions and its files into one archive that the "
        "server can load.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--workflow-name", required=True, help="name of the workflow, and of the archive: letters, digits, '_-.'")
    add("--spec-file", required=True, help="YAML file with the models and the graph of the workflow")
    add("--handler", help="Python file with the functions that are nodes; not needed if all nodes are models")
    add("--export-path", default=os.getcwd(), help="directory to write the archive to (default: the current one)")
    add("-f", "--force", action="store_true", help="replace an existing archive")
    add("--extra-files", help="comma-separated files, directories (their contents go to the root) and patterns")
    return parser


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 built, 1 not built. argparse itself exits with status 2 on bad usage."""
    args = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s - %(message)s")
    try:
        workflow_builder.build(WorkflowBuildRequest(**vars(args)))
    except (ArchiveNotBuilt, OSError) as error:
        print(f"ERROR - {console.described(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
