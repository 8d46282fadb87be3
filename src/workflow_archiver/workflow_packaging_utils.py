"""`WorkflowExportUtils`: the steps of the archiver as static helpers, with TorchServe's names and parameters.

Staging is a private folder per call: nothing that lies in the temp folder is ever deleted, and two archivers of the
same workflow name never meet.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import zipfile  # noqa: F401 - scripts and tests import it from here
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from model_archiver.model_packaging_utils import ModelExportUtils
from stoker.archive import builder, contents, workflow_builder, writing
from stoker.archive.workflow_manifest import MANIFEST_PATH
from workflow_archiver.manifest_components.manifest import Manifest
from workflow_archiver.manifest_components.workflow import Workflow
from workflow_archiver.workflow_archiver_error import WorkflowArchiverError

WAR_INF, _, MANIFEST_FILE_NAME = MANIFEST_PATH.partition("/")


class WorkflowExportUtils:
    clean_temp_files = ModelExportUtils.clean_temp_files
    make_dir = ModelExportUtils.make_dir
    directory_filter = ModelExportUtils.directory_filter

    @staticmethod
    def get_archive_export_path(export_file_path: str, workflow_name: str) -> str:
        return os.path.join(export_file_path, f"{workflow_name}{workflow_builder.SUFFIX}")  # noqa: PTH118 - patched by name

    @staticmethod
    def check_war_already_exists(workflow_name: str, export_file_path: str | None, overwrite: bool) -> str:
        """Returns the directory to write to.

        Raises: WorkflowArchiverError: the archive exists and ``overwrite`` is not set.
        """
        folder = os.getcwd() if export_file_path is None else export_file_path
        target = WorkflowExportUtils.get_archive_export_path(folder, workflow_name)
        if os.path.exists(target):  # noqa: PTH110 - patched by name
            if not overwrite:
                raise WorkflowArchiverError(builder.already_exists(target, "workflow"))
            logging.warning("Overwriting %s ...", target)
        return folder

    @staticmethod
    def generate_workflow(workflow_args: Namespace) -> Workflow:
        return Workflow(
            workflow_name=workflow_args.workflow_name,
            spec_file=workflow_args.spec_file,
            handler=workflow_args.handler,
        )

    @staticmethod
    def generate_manifest_json(args: Namespace) -> str:
        return str(Manifest(workflow=WorkflowExportUtils.generate_workflow(args)))

    @staticmethod
    def copy_artifacts(workflow_name: str, artifact_files: Iterable[str | None]) -> str:
        """Copies the files, each a comma-separated list or None, into a new folder and returns it.

        Raises: FileNotFoundError: a named file does not exist.
        """
        collector = contents.Collector(manifest_path=MANIFEST_PATH)
        for files in filter(None, artifact_files):
            collector.add_extra(files)
        staged = Path(tempfile.mkdtemp(prefix=f"{workflow_name}-"))
        try:
            writing.copy_files(staged, collector.checked())
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return str(staged)

    @staticmethod
    def archive(export_file: str, workflow_name: str, workflow_path: str, manifest: str) -> None:
        """Writes the folder ``workflow_path`` as an archive into the directory ``export_file``."""
        collector = contents.Collector(manifest_path=MANIFEST_PATH)
        collector.add_directory(Path(workflow_path))
        target = Path(WorkflowExportUtils.get_archive_export_path(export_file, workflow_name))
        workflow_builder.write(target, collector.checked(), str(manifest))

    @staticmethod
    def file_filter(current_file: str, files_to_exclude: Iterable[str]) -> bool:
        """Tells whether the file belongs in an archive."""
        left_out = current_file in files_to_exclude or current_file == MANIFEST_FILE_NAME
        return not left_out and contents.wanted_file(current_file) and not current_file.endswith(".war")

    @staticmethod
    def check_workflow_name_regex_or_exit(workflow_name: str) -> None:
        """Checks the name.

        Raises: WorkflowArchiverError: it has characters other than letters, digits, ``_``, ``-`` and ``.``
        """
        builder.check_name(workflow_name, "workflow")

    @staticmethod
    def validate_inputs(workflow_name: str, export_path: str) -> None:
        WorkflowExportUtils.check_workflow_name_regex_or_exit(workflow_name)
        if not os.path.isdir(os.path.abspath(export_path)):  # noqa: PTH100, PTH112 - patched by name
            raise WorkflowArchiverError(builder.no_directory(export_path))
