"""Reads `model-config.yaml` of an archive: how a model wants to be served.

`model_keys` lists the keys.  A value of the wrong type is ignored with a warning, as in TorchServe; a number of more
than 32 bits refuses the model.  The whole document goes to the handler.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stoker.config import model_keys
from stoker.config.model_keys import MODEL_KEYS, ModelRow, ModelValues, OutOfRange
from stoker.errors import InvalidArchive

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(ModelValues):
    """The values. ``raw``: the whole document."""

    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> ModelConfig:
        """Loads the file. Raises InvalidArchive if it cannot be read as YAML, or is too large when expanded."""
        from stoker.config.yaml_file import read  # noqa: PLC0415 - only some models have a config

        return cls.of(read(path), name=path.name)

    @classmethod
    def of(cls, document: Any, *, name: str = "model-config.yaml") -> ModelConfig:
        """Reads the parsed document; an empty one sets nothing. Raises InvalidArchive: a number is out of range."""
        if not isinstance(document, dict):
            if document is not None:
                log.warning("%s is not a map of keys and was ignored", name)
            return cls()
        values = {key.field: _value(key, document, name) for key in MODEL_KEYS if key.name in document}
        return cls(**values, raw=document)

    def over(self, fallback: ModelValues) -> ModelConfig:
        """Returns these values, completed by ``fallback``; the document is unchanged."""
        return replace(self, **model_keys.over(self, fallback))


def _value(key: ModelRow, document: Mapping[str, Any], name: str) -> Any:
    try:
        return key.convert(document[key.name])
    except OutOfRange as error:
        raise InvalidArchive(f"{name}: {key.name}: {error}") from None
    except ValueError as error:
        log.warning("%s: %s was ignored: %s", name, key.name, error)
        return None
