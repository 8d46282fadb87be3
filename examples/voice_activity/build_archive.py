"""Packs Silero's detector as its package ships it, and writes the speech that the example listens to."""

from __future__ import annotations

import shutil
from pathlib import Path

from examples import building

FOLDER = Path(__file__).resolve().parent
SPEECH = FOLDER / "speech.wav"


def prepare(cache: Path) -> building.Parts:
    weights = building.package_folder("silero_vad") / "data" / "silero_vad.jit"
    building.say(FOLDER.name, "packing Silero's voice activity detector")
    return building.Parts(
        handler=str(FOLDER / "handler.py"),
        serialized_file=weights,
        config_file=FOLDER / "model-config.yaml",
        extra_files=(FOLDER / "stream.py",),
        store=True,
    )


def write_speech() -> None:
    """Takes half a minute of a conversation from the package pyannote.audio."""
    if SPEECH.exists():
        return
    shutil.copy(building.package_folder("pyannote") / "audio" / "sample" / "sample.wav", SPEECH)
    building.say(FOLDER.name, f"wrote {SPEECH.name} (the sample of pyannote.audio)")


if __name__ == "__main__":
    building.main(FOLDER, prepare, after=write_speech)
