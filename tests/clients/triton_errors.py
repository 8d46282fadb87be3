"""What tritonclient raises, over gRPC and REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tritonclient.utils import InferenceServerException


def error_of(call: Callable[[], Any]) -> list[str]:
    """Returns code and message of what a call failed with."""
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()).removeprefix("StatusCode."), str(error.message())]
    return ["OK"]
