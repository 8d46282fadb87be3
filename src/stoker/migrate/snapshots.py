"""Checks whether the models of a TorchServe snapshot can be resumed. PURE."""

from __future__ import annotations

from collections.abc import Container, Mapping

from stoker.archive.names import shown
from stoker.config import model_snapshot, properties
from stoker.errors import ConfigurationError
from stoker.migrate.findings import Finding, Verdict

AREA = "snapshots"
_KEY = "model_snapshot"


def check(name: str, text: str, *, store: Container[str], newest: bool, environment: Mapping[str, str]) -> Finding:
    """Checks a snapshot. ``store``: names of the archives. Older ones need only be readable."""
    try:
        entries = {entry.key: entry.value for entry in properties.parse(text, file=name)}
        if _KEY not in entries:
            raise ValueError(f"it has no {_KEY}")
        snapshot = model_snapshot.decode(properties.expand(entries[_KEY], environment))
    except (ConfigurationError, ValueError) as error:
        reason = str(error).removeprefix("Invalid configuration: ")
        return Finding(AREA, name, Verdict.CHANGED, f"It is not a complete snapshot, and is skipped: {shown(reason)}.")
    if not newest:
        return Finding(AREA, name, Verdict.SAME)
    lost = sorted({model.mar_name for model in snapshot.models if model.url is None and model.mar_name not in store})
    if lost:
        text = (
            f"A start that resumes it lacks {', '.join(map(shown, lost))}: put it into the model store, or start with "
            "--no-config-snapshots. TorchServe does not start without it, stoker skips the model."
        )
        return Finding(AREA, name, Verdict.UNSUPPORTED, text)
    text = (
        f"A start that names no file resumes its models ({len(snapshot.models)}), and takes settings from "
        "config.properties rather than from it; --ts-config with its path resumes both."
    )
    return Finding(AREA, name, Verdict.CHANGED, text)
