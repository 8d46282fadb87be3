"""Reads a metrics file: apart from `metrics`, because only workers with such a file import YAML."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from stoker.worker import metrics_errors as errors


def read(path: str | os.PathLike[str]) -> object:
    """Raises one of the errors of `metrics_errors` when the file cannot be used."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise errors.MetricsCachePyYamlError(f"Error parsing file {path}: {error}") from error
    except OSError as error:
        raise errors.MetricsCacheIOError(f"Error reading file {path}: {error}") from error
    except Exception as error:
        raise errors.GeneralMetricsCacheError(f"General error found in file {path}: {error}") from error
