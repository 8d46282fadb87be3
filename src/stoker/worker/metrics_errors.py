"""Errors of a metric or of the file that declares metrics (`ts.metrics.metric_cache_errors`).

Each but the general one is also one of Python's own errors, which handlers catch.
"""

from __future__ import annotations

from typing import Any


class GeneralMetricsCacheError(Exception):
    """The metrics file cannot be used, for a reason that no other class stands for."""

    def __init__(self, message: object) -> None:
        super().__init__(f"Generic error: {message}")


class MetricsCacheIOError(OSError):
    """The metrics file cannot be read."""

    def __init__(self, message: object) -> None:
        super().__init__(f"Error reading file: {message}")


class MetricsCacheTypeError(TypeError):
    """An argument has the wrong type."""


class MetricsCacheValueError(ValueError):
    """An argument has a value that is not allowed."""


class MetricsCacheKeyError(KeyError):
    """A metric, its type or a key of the metrics file does not exist."""


def __getattr__(name: str) -> Any:
    """Makes `MetricsCachePyYamlError`, one of YAML's errors, when it is used: few workers import YAML."""
    if name != "MetricsCachePyYamlError":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import yaml  # noqa: PLC0415 - see above

    class MetricsCachePyYamlError(yaml.YAMLError):
        """The metrics file is not YAML."""

        def __init__(self, message: object) -> None:
            super().__init__(f"Error parsing file: {message}")

    MetricsCachePyYamlError.__qualname__ = name
    globals()[name] = MetricsCachePyYamlError
    return MetricsCachePyYamlError
