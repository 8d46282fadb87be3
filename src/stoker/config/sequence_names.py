"""How requests name their sequence, as the settings say.  PURE."""

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
    """Returns the variables from which a handler's context knows the names."""
    return {
        "TS_REQUEST_SEQUENCE_ID": names.id,
        "TS_REQUEST_SEQUENCE_START": names.start,
        "TS_REQUEST_SEQUENCE_END": names.end,
    }
