"""`ModelArchiverConfig`: the options of one archive, as on the command line."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass, field, fields


@dataclass
class ModelArchiverConfig:
    model_name: str
    handler: str
    version: str
    serialized_file: str | None = None
    model_file: str | None = None
    extra_files: str | None = None
    runtime: str = "python"
    export_path: str = field(default_factory=os.getcwd)
    archive_format: str = "default"
    force: bool = False
    requirements_file: str | None = None
    config_file: str | None = None

    @classmethod
    def from_args(cls, args: Namespace) -> ModelArchiverConfig:
        """Reads what the argument parser returned; missing options keep their defaults."""
        given = {item.name: getattr(args, item.name, None) for item in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not None})
