"""Makes untrusted text safe for messages, terminals and logs.  PURE."""

from __future__ import annotations

_CONTROL = (*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029)
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in _CONTROL if chr(code) != "\t"}


def escaped(text: str) -> str:
    """Escapes control characters, so that no text can forge a log line."""
    return text if text.isprintable() else text.translate(_ESCAPES)


def printable(text: str, instead: str = "?") -> str:
    return "".join(char if char.isprintable() else instead for char in text)


def shortened(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
