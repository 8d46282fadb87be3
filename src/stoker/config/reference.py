"""Writes `docs/configuration.md` from the tables of settings and of model keys. PURE but for `main`.

``python -m stoker.config.reference`` prints it, ``python -m stoker.config.reference FILE`` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from stoker.config.model_keys import MODEL_KEYS
from stoker.config.rows import Origin, Row
from stoker.config.settings import ROWS

_GROUPS = {
    "inference_address": "Listeners",
    "max_connections": "Connections",
    "model_store": "Models and workers",
    "worker_placement": "Workers on other machines",
    "workflow_store": "Workflows",
    "stream_window": "Streams and shutdown",
    "allowed_urls": "Archives",
    "disable_token_authorization": "Security, and where values come from",
    "metrics_config": "Metrics and logs",
    "compile_cache": "Folders on the machine",
}
"""Section titles by the first key of each section, in the order of the table of settings."""

_HEAD = """\
# Configuration

Every key of `config.properties` and of `model-config.yaml`.

- The properties file: `TS_CONFIG_FILE`, else `--ts-config`, else `config.properties` in the current folder.
- Precedence: default < file < command line < environment. The environment counts only if
  `enable_envvars_config=true`, except for variables marked *always*.
- `$$NAME$$` anywhere in a value stands for the environment variable NAME. If it is not set, the server does not start.
- Booleans: `true` in any case is true, everything else is false. Sizes may have a unit of 1024: `64k`, `10m`, `2g`.
- An invalid value stops the start, with file, line, key and what was expected. An unknown key causes a warning with the
  nearest known one. A missing file or folder stops the start if a flag names it; if a properties file does, it causes a
  warning with file and line.
- `torchserve --print-config` shows every value in effect and its source.
- *own* marks keys that TorchServe does not have."""

_UNUSED = """
## Accepted, without effect

TorchServe's keys that have no effect here. They are checked like the others, and named in the log once.
"""

_MODEL = """
## model-config.yaml

For models loaded at start, the setting `models` can also give `minWorkers`, `maxWorkers`, `batchSize`, `maxBatchDelay`,
`responseTimeout`, `startupTimeout` and `runtimeType`:
`models={"NAME": {"VERSION": {"minWorkers": 1, "maxWorkers": 2, "batchSize": 4}}}`. It is read as leniently as in
TorchServe: numbers in quotation marks, single quotes or none, comments, `;` and `=`. Other keys there are ignored with
a warning.

Precedence: registration over an API, then model-config.yaml, then `models`, then the default. In the YAML, a value of a
wrong type is ignored with a warning, and a number of more than 32 bits refuses the model; in `models`, both stop the
start. The handler gets the whole YAML document.
"""


def text() -> str:
    """Returns the whole page."""
    return "\n".join((_HEAD, *_settings(), *_unused(), *_model_keys())) + "\n"


def _settings() -> Iterator[str]:
    for row in ROWS.values():
        if row.key in _GROUPS:
            yield from ("", f"## {_GROUPS[row.key]}", "")
            yield from _head("key", "default", "unit", "environment", "meaning")
        if row.field:
            yield _line(_key(row.key, row.ours), _default(row), row.unit, _environment(row), row.meaning)


def _unused() -> Iterator[str]:
    yield _UNUSED
    yield from _head("key", "environment", "meaning in TorchServe", "why it has no effect")
    for row in ROWS.values():
        if row.unused:
            yield _line(_key(row.key, row.ours), _environment(row), row.meaning, row.unused)


def _model_keys() -> Iterator[str]:
    yield _MODEL
    yield from _head("key", "values", "default", "unit", "meaning")
    for key in MODEL_KEYS:
        yield _line(_key(key.name, key.ours), key.kind, key.default_text, key.unit, key.meaning)


def _key(name: str, ours: bool) -> str:
    return f"`{name}` *own*" if ours else f"`{name}`"


def _default(row: Row) -> str:
    return row.default_text if row.default_text == "-" or " " in row.default_text else f"`{row.default_text}`"


def _environment(row: Row) -> str:
    if row.env is None:
        return "-"
    if row.origin is Origin.ENVIRONMENT:
        return f"`{row.env}` only"
    return f"`{row.env}` *always*" if row.always_env else f"`{row.env}`"


def _head(*names: str) -> Iterator[str]:
    yield _line(*names)
    yield _line(*("---" for _ in names))


def _line(*cells: str) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(words: str) -> str:
    return words.replace("|", r"\|")


def main(arguments: Iterable[str]) -> None:
    file = next(iter(arguments), None)
    if file is None:
        sys.stdout.write(text())
    else:
        Path(file).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
