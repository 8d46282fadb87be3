"""Packs the files of `text_generation` with a handler that batches continuously."""

from __future__ import annotations

import shutil
from pathlib import Path

from examples import building
from examples.text_generation import build_archive as text_generation

FOLDER = Path(__file__).resolve().parent


def prepare(cache: Path) -> building.Parts:
    """Takes the converted weights of the other example, which are made once for both."""
    other = building.CACHE / text_generation.FOLDER.name
    other.mkdir(parents=True, exist_ok=True)
    parts = text_generation.prepare(other)
    handler = cache / "text_generation.py"  # an archive has one handler.py
    shutil.copy(text_generation.FOLDER / "handler.py", handler)
    return building.Parts(
        handler=str(FOLDER / "handler.py"),
        serialized_file=parts.serialized_file,
        config_file=FOLDER / "model-config.yaml",
        extra_files=(*parts.extra_files, handler),
        store=parts.store,
    )


if __name__ == "__main__":
    building.main(FOLDER, prepare, sources=text_generation.FOLDER)
