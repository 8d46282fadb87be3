"""What a handler may raise to choose its own answer. Users import it from `ts.utils.util` or `ts.service`."""

from __future__ import annotations


class PredictionException(Exception):
    """The handler refuses a request in its own words, with an HTTP-like code."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message, error_code)  # both arguments: the exception survives copying and pickling
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"
