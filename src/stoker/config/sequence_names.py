"""Reads from the settings how requests name their sequence.  PURE."""

from __future__ import annotations

from stoker.config.settings import Settings
from stoker.core.sequences import SequenceNames


def sequence_names(settings: Settings) -> SequenceNames:
    return SequenceNames(
        settings.ts_header_key_sequence_id,
        settings.ts_header_key_sequence_start,
        settings.ts_header_key_sequence_end,
    )


def worker_environment(names: SequenceNames) -> dict[str, str]:
    """Returns the variables from which a handler's context knows names that are not the defaults."""
    variables = ("TS_REQUEST_SEQUENCE_ID", "TS_REQUEST_SEQUENCE_START", "TS_REQUEST_SEQUENCE_END")
    chosen = zip(variables, names, SequenceNames(), strict=True)
    return {variable: name for variable, name, default in chosen if name != default}
