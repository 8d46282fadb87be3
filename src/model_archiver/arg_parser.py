"""The archiver's command line, for scripts that parse it themselves."""

from __future__ import annotations

from model_archiver.model_archiver_config import ModelArchiverConfig
from stoker.cli import archiver


class ArgParser:
    @staticmethod
    def export_model_args_parser() -> ModelArchiverConfig:
        """Parses this process's command line."""
        return ModelArchiverConfig.from_args(archiver.make_parser().parse_args())
