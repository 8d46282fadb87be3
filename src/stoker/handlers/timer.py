"""Measures a handler method if its model-config.yaml says ``handler: {profile: true}``.

Never makes a handler fail: without context, config or metrics it only calls the method.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def timed(func: Method) -> Method:
    """Emits the metric ``ts_handler_<method name>`` in milliseconds for each call that returns."""

    @functools.wraps(func)
    def measured(self: Any, *args: Any, **kwargs: Any) -> Any:
        context: Any = getattr(self, "context", None)
        if not _wanted(context):
            return func(self, *args, **kwargs)
        started = time.perf_counter()
        result = func(self, *args, **kwargs)
        context.metrics.add_time(f"ts_handler_{func.__name__}", (time.perf_counter() - started) * 1000)
        return result

    return measured  # type: ignore[return-value]  # functools.wraps keeps the signature, not its type


def _wanted(context: Any) -> bool:
    config = getattr(context, "model_yaml_config", None)
    section = config.get("handler") if isinstance(config, dict) else None
    return isinstance(section, dict) and bool(section.get("profile")) and getattr(context, "metrics", None) is not None
