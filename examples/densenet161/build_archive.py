"""Packs DenseNet-161 with ImageNet weights from torch's hub; or with random ones if the hub is unreachable.

Random weights show in the build's output, in the worker's log and in every label of every answer.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples import building

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).resolve().parent
HUB_TIMEOUT_S = 5.0
NOTE = " (RANDOM WEIGHTS)"


def prepare(cache: Path) -> building.Parts:
    import torch  # takes seconds: not needed if the build is up to date

    from stoker.handlers import _torchvision

    torchvision = _torchvision.load()
    model = _pretrained(torchvision, cache / "hub")
    trained = model is not None
    if model is None:
        torch.manual_seed(0)  # the same answers from every build
        model = torchvision.models.densenet161(weights=None)
    weights = cache / "densenet161.pth"
    torch.save(model.state_dict(), weights)
    origin = cache / "weights.json"
    origin.write_text(json.dumps({"pretrained": trained}), encoding="utf-8")
    labels = building.write_labels(cache / "index_to_name.json", note="" if trained else NOTE)
    return building.Parts(
        handler="image_classifier",
        model_file=FOLDER / "model.py",
        serialized_file=weights,
        extra_files=(origin, labels),
        store=True,
    )


def _pretrained(torchvision: Any, hub: Path) -> torch.nn.Module | None:
    """Returns the model with its ImageNet weights, kept in ``hub`` once loaded; None if they are unavailable."""
    choice = torchvision.models.DenseNet161_Weights.IMAGENET1K_V1
    kept = hub / "checkpoints" / Path(choice.url).name
    if not kept.exists() and not _answers(choice.url):
        return None
    import torch  # see above

    torch.hub.set_dir(str(hub))
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(HUB_TIMEOUT_S)  # torch's hub sets none
    try:
        building.say(FOLDER.name, "loading ImageNet weights from torch's hub (115 MB, once)")
        model: torch.nn.Module = torchvision.models.densenet161(weights=choice, progress=sys.stderr.isatty())
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, or an incomplete file
        kept.unlink(missing_ok=True)
        building.say(FOLDER.name, f"torch's hub failed: {error}")
        return None
    finally:
        socket.setdefaulttimeout(before)
    return model


def _answers(url: str) -> bool:
    """Tells whether a server answers at ``url`` in time. Uses a thread, because name look-up has no timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_TIMEOUT_S):
                answered.set()
        except (OSError, ValueError):
            pass  # stays unanswered

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return answered.is_set()


def warn_if_random() -> None:
    """Prints the warning after every build, even if it was up to date."""
    origin = building.CACHE / FOLDER.name / "weights.json"
    if origin.exists() and not json.loads(origin.read_text(encoding="utf-8"))["pretrained"]:
        line = "!" * 100
        text = [
            line,
            "densenet161 has RANDOM WEIGHTS: torch's hub, which has the trained ones, did not answer.",
            "It is the real network and runs at its real cost, but its ANSWERS MEAN NOTHING, and each label says so.",
            f"With a network that reaches the hub, run: {os.path.relpath(FOLDER / 'build')} --force",
            line,
        ]
        for part in text:
            building.say(FOLDER.name, part)


if __name__ == "__main__":
    building.main(FOLDER, prepare, after=warn_if_random)
