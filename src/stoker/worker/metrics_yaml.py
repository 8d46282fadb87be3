"""Reads a metrics file. Apart from `metrics`, because only workers with such a file import YAML."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from stoker.worker.metrics_errors import GeneralMetricsCacheError, MetricsCacheIOError


class MetricsCachePyYamlError(yaml.YAMLError):
    """The metrics file is not YAML."""

    def __init__(self, message: object) -> None:
        super().__init__(f"Error parsing file: {message}")


def read(path: str | os.PathLike[str]) -> object:
    """Raises one of the errors of `metrics_errors` when the file cannot be used."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise MetricsCachePyYamlError(f"Error parsing file {path}: {error}") from error
    except OSError as error:
        raise MetricsCacheIOError(f"Error reading file {path}: {error}") from error
    except Exception as error:
        raise GeneralMetricsCacheError(f"General error found in file {path}: {error}") from error
