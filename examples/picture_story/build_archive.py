"""Packs the workflow, and the archives of the two models that are its nodes."""

from __future__ import annotations

from pathlib import Path

from examples import building
from examples.image_classifier import build_archive as image_classifier
from examples.text_generation import build_archive as text_generation

FOLDER = Path(__file__).resolve().parent


def prepare(cache: Path) -> building.WorkflowParts:
    return building.WorkflowParts(spec_file=FOLDER / "workflow.yaml", handler=FOLDER / "functions.py")


if __name__ == "__main__":
    building.main(
        FOLDER,
        prepare,
        suffix=".war",
        models={image_classifier.FOLDER: image_classifier.prepare, text_generation.FOLDER: text_generation.prepare},
        after=image_classifier.write_kitten,
    )
