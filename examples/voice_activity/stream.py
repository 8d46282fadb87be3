"""What is known of one stream of sound: the network's state, and where speech was."""

from __future__ import annotations

import json

import torch

RATE = 16_000
FRAME = 512  # samples that the network takes at a time
CONTEXT = 64  # samples before them that it needs too


class Stream:
    """What is known of one sequence. ``rest``: samples that wait for the rest of their frame."""

    def __init__(self) -> None:
        self.state = torch.zeros(2, 1, 128)
        self.context = torch.zeros(CONTEXT)
        self.rest = torch.zeros(0)
        self.frames = 0
        self.probability = 0.0
        self.speech: list[list[float]] = []
        self.speaking = False
        self.silent_since: int | None = None

    def add(self, sound: torch.Tensor) -> None:
        self.rest = torch.cat([self.rest, sound])

    def heard(self, probability: float, settings: dict[str, float]) -> None:
        """Takes the network's word on the newest frame."""
        at, self.probability = self.frames, probability
        self.frames += 1
        if probability >= settings["speech_at"]:
            self.silent_since = None
            if not self.speaking:
                self.speaking = True
                self.speech.append([_seconds(at), _seconds(at + 1)])
        elif self.speaking and probability < settings["silence_at"]:
            self.silent_since = at if self.silent_since is None else self.silent_since
            if _seconds(at - self.silent_since) >= settings["silence_s"]:
                self.speaking = False
        if self.speaking and self.silent_since is None:
            self.speech[-1][1] = _seconds(at + 1)

    def answer(self) -> str:
        found = {"heard_s": _seconds(self.frames), "probability": round(self.probability, 3), "speech_s": self.speech}
        return json.dumps(found)


def _seconds(frames: int) -> float:
    return round(frames * FRAME / RATE, 3)
