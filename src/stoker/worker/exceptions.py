"""Exceptions by which a handler chooses its own answer, and those that end a handler from outside.

Users import `PredictionException` from `ts.utils.util` or `ts.service`.
"""

from __future__ import annotations


class PredictionException(Exception):
    """The handler refuses a request in its own words, with an HTTP-like code."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message, error_code)  # both arguments: the exception survives copying and pickling
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


class JobCancelled(BaseException):
    """All clients of this batch left. Not an `Exception`, so that a handler's own
    ``except Exception`` cannot swallow it."""


class ServerGone(BaseException):
    """The server closed its end of the socket."""
