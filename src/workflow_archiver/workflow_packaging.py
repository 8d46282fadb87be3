"""Builds an archive from options, in the steps that scripts and tests of TorchServe know by name."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace

from workflow_archiver.arg_parser import ArgParser
from workflow_archiver.workflow_archiver_error import WorkflowArchiverError
from workflow_archiver.workflow_packaging_utils import WorkflowExportUtils


def package_workflow(args: Namespace, manifest: str) -> None:
    """``manifest``: the text of ``MANIFEST.json``. Logs what is wrong with the options and exits with status 1.

    Raises: FileNotFoundError: a named file does not exist.
    """
    name = args.workflow_name
    staged: list[str] = []
    try:
        WorkflowExportUtils.validate_inputs(name, args.export_path)
        export_path = WorkflowExportUtils.check_war_already_exists(name, args.export_path, args.force)
        staged.append(WorkflowExportUtils.copy_artifacts(name, [args.spec_file, args.handler, args.extra_files]))
        WorkflowExportUtils.archive(export_path, name, staged[0], manifest)
        logging.info("Successfully exported workflow %s to file %s", name, export_path)
    except WorkflowArchiverError as error:
        logging.error(error)
        sys.exit(1)
    finally:
        WorkflowExportUtils.clean_temp_files(staged)


def generate_workflow_archive() -> None:
    """Builds an archive by the options of this process's command line."""
    logging.basicConfig(format="%(levelname)s - %(message)s")
    args = ArgParser.workflow_archiver_args_parser().parse_args()
    package_workflow(args, manifest=WorkflowExportUtils.generate_manifest_json(args))


if __name__ == "__main__":
    generate_workflow_archive()
