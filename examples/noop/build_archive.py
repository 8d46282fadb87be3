"""Packs the handler, which is all there is."""

from __future__ import annotations

from pathlib import Path

from examples import building

FOLDER = Path(__file__).resolve().parent


def prepare(cache: Path) -> building.Parts:
    return building.Parts(handler=str(FOLDER / "handler.py"))


if __name__ == "__main__":
    building.main(FOLDER, prepare)
