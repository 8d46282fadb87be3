"""Builds an archive from options, in the steps that scripts and tests of TorchServe know by name."""

from __future__ import annotations

from argparse import Namespace

from model_archiver.arg_parser import ArgParser
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging_utils import ModelExportUtils


def package_model(config: ModelArchiverConfig | Namespace, manifest: str) -> None:
    """``manifest``: the text of ``MANIFEST.json``.

    Raises:
        ModelArchiverError, FileNotFoundError
    """
    if isinstance(config, Namespace):
        config = ModelArchiverConfig.from_args(config)  # older callers lack newer options
    name, archive_format = config.model_name, config.archive_format
    ModelExportUtils.validate_inputs(name, config.export_path)
    export_path = ModelExportUtils.check_mar_already_exists(name, config.export_path, config.force, archive_format)
    staged = ModelExportUtils.copy_artifacts(
        name,
        config.runtime,
        model_file=config.model_file,
        serialized_file=config.serialized_file,
        handler=config.handler,
        extra_files=config.extra_files,
        requirements_file=config.requirements_file,
        config_file=config.config_file,
    )
    try:
        ModelExportUtils.archive(export_path, name, staged, manifest, archive_format)
    finally:
        ModelExportUtils.clean_temp_files([staged])


def generate_model_archive(config: ModelArchiverConfig | Namespace | None = None) -> None:
    """Builds an archive. ``config`` None: the options of the command line."""
    if config is None:
        config = ArgParser.export_model_args_parser()
    package_model(config, manifest=ModelExportUtils.generate_manifest_json(config))
