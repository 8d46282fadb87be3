"""Masks the credentials of URLs in a text: user and password, signatures, tokens.  PURE.

Meant for what is logged or shown, where a URL may be plain, percent-encoded or part of another URL's query.  Masks too
much rather than too little.  Takes linear time, because the text may be untrusted.
"""

from __future__ import annotations

import re

MASK = "***"

_COLON, _SLASH = r"(?::|%(?:25)*3A)", r"(?:/|%(?:25)*2F)"
_USER = re.compile(
    rf"({_COLON}{_SLASH}{{2}})(?:(?!{_COLON}{_SLASH})[^\s/?#&\"'<>])*(@|%(?:25)*40)",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"(?:[?&;#]|%(?:25)*(?:3F|26|3B|23))([\w.~-]{1,64})(?:=|%(?:25)*3D)", re.IGNORECASE)
_VALUE = re.compile(r"[^\s&;#\"'<>]*")
_SECRET_NAME = re.compile(
    r"signature|credential|token|secret|passw|passphrase|api[_-]?key|access[_-]?key|accessid|key-pair-id|"
    r"^(?:sig|key|auth|authorization|pwd|jwt|sas|policy)$",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Masks ``https://me:pw@host/m.mar?X-Amz-Signature=1`` as ``https://***@host/m.mar?X-Amz-Signature=***``."""
    if ":" not in text and "=" not in text and "%" not in text:
        return text
    return _without_secret_values(_USER.sub(rf"\1{MASK}\2", text))


def _without_secret_values(text: str) -> str:
    kept, at = [], 0
    for found in _PARAMETER.finditer(text):
        if found.start() >= at and _SECRET_NAME.search(found[1]):
            kept += [text[at : found.end()], MASK]
            at = _end_of_value(text, found.end())
    return "".join([*kept, text[at:]])


def _end_of_value(text: str, start: int) -> int:
    value = _VALUE.match(text, start)
    return value.end() if value else start
