"""`ModelArchiver`: the entry point for scripts."""

from __future__ import annotations

from argparse import Namespace

from model_archiver import model_packaging
from model_archiver.model_archiver_config import ModelArchiverConfig


class ModelArchiver:
    @staticmethod
    def generate_model_archive(config: ModelArchiverConfig | Namespace) -> None:
        """Raises:
        ModelArchiverError: a bad value, or the archive exists.  FileNotFoundError: a named file does not exist.
        """
        model_packaging.generate_model_archive(config)
