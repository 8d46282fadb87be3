"""`ModelExportUtils`: the steps of the archiver as static helpers, with TorchServe's names and parameters.

Staging is a private folder per call, so that two archivers of the same model name never meet.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile  # noqa: F401 - scripts and tests import it from here
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from model_archiver.manifest_components.manifest import Manifest
from model_archiver.manifest_components.model import Model
from model_archiver.model_archiver_error import ModelArchiverError
from stoker.archive import builder, contents, writing

if TYPE_CHECKING:
    from model_archiver.model_archiver_config import ModelArchiverConfig

archiving_options = dict(writing.SUFFIXES)
_KINDS = {"handler", "model_file", "serialized_file", "extra_files", "requirements_file", "config_file"}


class ModelExportUtils:
    @staticmethod
    def get_archive_export_path(export_file_path: str, model_name: str, archive_format: str) -> str:
        return os.path.join(export_file_path, f"{model_name}{archiving_options.get(archive_format, '.mar')}")  # noqa: PTH118 - patched by name

    @staticmethod
    def check_mar_already_exists(
        model_name: str, export_file_path: str | None, overwrite: bool, archive_format: str = "default"
    ) -> str:
        """Returns the directory to write to.

        Raises: ModelArchiverError: the archive exists and ``overwrite`` is not set.
        """
        folder = os.getcwd() if export_file_path is None else export_file_path
        target = ModelExportUtils.get_archive_export_path(folder, model_name, archive_format)
        if os.path.exists(target) and not overwrite:  # noqa: PTH110 - patched by name
            raise ModelArchiverError(builder.already_exists(target))
        return folder

    @staticmethod
    def find_unique(files: Iterable[str], suffix: str) -> str | None:
        """Returns the one file with this suffix, None if there is none.

        Raises: ModelArchiverError: there are several.
        """
        found = [file for file in files if file.endswith(suffix)]
        if len(found) > 1:
            raise ModelArchiverError(
                f"mar expects only one {suffix} file in the folder. Found {suffix} files {found} in the model-path."
            )
        return found[0] if found else None

    @staticmethod
    def generate_model(modelargs: ModelArchiverConfig | Namespace) -> Model:
        return Model(
            model_name=modelargs.model_name,
            serialized_file=getattr(modelargs, "serialized_file", None),
            model_file=getattr(modelargs, "model_file", None),
            handler=modelargs.handler,
            model_version=modelargs.version,
            requirements_file=getattr(modelargs, "requirements_file", None),
            config_file=getattr(modelargs, "config_file", None),
        )

    @staticmethod
    def generate_manifest_json(args: ModelArchiverConfig | Namespace) -> str:
        return repr(
            Manifest(runtime=getattr(args, "runtime", None) or "python", model=ModelExportUtils.generate_model(args))
        )

    @staticmethod
    def clean_temp_files(temp_files: Iterable[str]) -> None:
        for path in temp_files:
            if os.path.isdir(path):  # noqa: PTH112 - as os.remove below
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.remove(path)  # noqa: PTH107 - patched by name

    @staticmethod
    def make_dir(d: str) -> None:
        Path(d).mkdir(parents=True, exist_ok=True)

    @staticmethod
    def copy_artifacts(model_name: str, runtime: str = "python", **kwargs: str | None) -> str:
        """Copies the archive's files into a new folder and returns it. The files' kinds are the names of the archiver's
        options, with dashes or underscores; files of another kind are copied as they are.

        Raises:
            FileNotFoundError: a named file does not exist.
        """
        named = {kind.replace("-", "_"): path for kind, path in kwargs.items() if path}
        others = [named.pop(kind) for kind in list(named) if kind not in _KINDS]
        if others:
            named["extra_files"] = ",".join([*filter(None, [named.get("extra_files")]), *others])
        found = builder.collect(
            builder.BuildRequest(
                model_name=model_name,
                handler=named.pop("handler", "base_handler"),
                version="-",
                runtime=runtime,
                **named,  # type: ignore[arg-type]  # only names of files
            )
        )
        staged = Path(tempfile.mkdtemp(prefix=f"{model_name}-"))
        try:
            writing.copy_files(staged, found)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return str(staged)

    @staticmethod
    def archive(
        export_file: str, model_name: str, model_path: str, manifest: str, archive_format: str = "default"
    ) -> None:
        """Writes the folder ``model_path`` as an archive into the directory ``export_file``."""
        collector = contents.Collector()
        collector.add_directory(Path(model_path))
        target = builder.target_path(model_name, Path(export_file), archive_format=archive_format)
        writing.write_archive(
            target, collector.checked(), str(manifest), archive_format=archive_format, name=model_name
        )

    @staticmethod
    def check_model_name_regex_or_exit(model_name: str) -> None:
        """Checks the name.

        Raises: ModelArchiverError: it has characters other than letters, digits, ``_``, ``-`` and ``.``
        """
        builder.check_name(model_name)

    @staticmethod
    def validate_inputs(model_name: str, export_path: str | None) -> None:
        ModelExportUtils.check_model_name_regex_or_exit(model_name)
        builder.check_export_path(export_path)

    @staticmethod
    def file_filter(current_file: str, files_to_exclude: Iterable[str]) -> bool:
        """Tells whether the file belongs in an archive."""
        return current_file not in files_to_exclude and contents.wanted_file(current_file)

    @staticmethod
    def directory_filter(directory: str, unwanted_dirs: Iterable[str]) -> bool:
        return directory not in unwanted_dirs and contents.wanted_directory(directory)
