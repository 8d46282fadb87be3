"""Looks for what no client may learn from an error, in every error answer that these tests get over HTTP."""

from __future__ import annotations

import re

import httpx

TELLTALES = re.compile(
    r"""Traceback | File\ " | \.py\b | line\ \d+,\ in          # a stack
      | /(home|root|tmp|usr|var|etc|work|secret)/ | site-packages  # a place on the machine
      | \bTS_[A-Z] | \bLOG_LOCATION | \bPYTHONPATH             # a variable of the environment
      | secret | -key\b | Bearer\                              # the tokens of these tests
    """,
    re.VERBOSE,
)


def telltale(text: str) -> str | None:
    found = TELLTALES.search(text)
    return found and found[0]


async def look_for_leaks(response: httpx.Response) -> None:
    """A hook for HTTP clients."""
    if response.status_code < 400:
        return
    await response.aread()
    headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    for text in (response.text, response.reason_phrase, headers):
        assert telltale(text) is None, f"{response.request.url} tells {telltale(text)!r}: {text}"
