"""Which models are loaded at start?  Reads the entries of the setting ``load_models`` (or ``--models``).  PURE.

``all`` in any case, or entries ``[name=]url``. A name given here wins over the manifest's; the name made of the
file name is used only where the manifest has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

_NAMED = re.compile(r"([^=/:?]+)=(.*)", re.DOTALL)  # "m=file.mar", yet not "https://host/file.mar?a=b"


class StartupModel(NamedTuple):
    text: str
    """As the operator wrote it."""
    url: str
    name: str | None


def models_to_load(entries: Sequence[str], names_in_store: Callable[[], Sequence[str]]) -> list[StartupModel]:
    """What to load, in the order written; ``names_in_store`` is asked only for ``all``."""
    texts = [text for entry in entries if (text := entry.strip())]
    if any(text.lower() == "all" for text in texts):
        return [StartupModel(name, name, None) for name in names_in_store()]
    return [_parse(text) for text in texts]


def _parse(item: str) -> StartupModel:
    named = _NAMED.fullmatch(item)
    if named is None:
        return StartupModel(item, item, None)
    return StartupModel(item, named[2].strip(), named[1].strip())
