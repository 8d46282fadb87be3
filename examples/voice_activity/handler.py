"""Silero's voice activity detector on streams of sound: its state goes from one piece of a sequence to the next.

A piece is 16-bit PCM, mono, 16 kHz, of any length; the first may begin with the header of a WAV file.  The answer says
how likely the newest 32 ms are speech, and where speech was so far.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from stream import CONTEXT, FRAME, RATE, Stream

from ts.utils.util import PredictionException

MOST_STREAMS = 1_000


class VoiceActivity:
    """The entry point. A row is a piece of one sequence; no sequence has two rows in a call."""

    def initialize(self, context: Any) -> None:
        torch.set_num_threads(1)
        folder = Path(context.system_properties["model_dir"])
        self._network = torch.jit.load(folder / "silero_vad.jit", map_location="cpu").eval()._model
        given = (context.model_yaml_config or {}).get("handler", {})
        self._settings = {"speech_at": 0.5, "silence_at": 0.35, "silence_s": 0.3, **given}
        self._streams: OrderedDict[str, Stream] = OrderedDict()  # the server does not say which of them have expired

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        answers: list[Any] = [None] * len(data)
        streams: dict[int, Stream] = {}
        for index, row in enumerate(data):
            try:
                streams[index] = self._stream(index, context)
                streams[index].add(_samples(row, first=not streams[index].frames))
            except ValueError as error:
                answers[index] = PredictionException(str(error), 400)
        self._listen(list(streams.values()))
        for index, stream in streams.items():
            if answers[index] is None:
                answers[index] = stream.answer()
            if context.get_request_header(index, context.header_key_sequence_end) == "true":
                self._streams.pop(context.get_sequence_id(index), None)
        return answers

    def _stream(self, index: int, context: Any) -> Stream:
        id = context.get_sequence_id(index)
        if context.get_request_header(index, "ts_request_sequence_opened") == "true" or id not in self._streams:
            self._streams[id] = Stream()
            if len(self._streams) > MOST_STREAMS:
                self._streams.popitem(last=False)
        self._streams.move_to_end(id)
        return self._streams[id]

    @torch.inference_mode()
    def _listen(self, streams: list[Stream]) -> None:
        """Reads whole frames: one of each stream at a time, all in one call of the network."""
        while ready := [stream for stream in streams if len(stream.rest) >= FRAME]:
            frames = [torch.cat([stream.context, stream.rest[:FRAME]]) for stream in ready]
            state = torch.cat([stream.state for stream in ready], dim=1)
            probabilities, state = self._network(torch.stack(frames), state)
            for number, stream in enumerate(ready):
                stream.context = stream.rest[FRAME - CONTEXT : FRAME]
                stream.rest = stream.rest[FRAME:]
                stream.state = state[:, number : number + 1]
                stream.heard(float(probabilities[number]), self._settings)


def _samples(row: dict[str, Any], *, first: bool) -> torch.Tensor:
    """
    Raises:
        ValueError: with a sentence for the client
    """
    sound = row.get("data") or row.get("body")
    if not isinstance(sound, (bytes, bytearray)):
        raise ValueError("Send sound: 16-bit PCM, mono, 16 kHz.")
    if first and sound[:4] == b"RIFF":
        sound = _without_header(bytes(sound))
    if len(sound) % 2:
        raise ValueError("A piece of sound has an odd number of bytes; a sample has two.")
    return torch.frombuffer(bytearray(sound), dtype=torch.int16).float() / 32768 if sound else torch.zeros(0)


def _without_header(sound: bytes) -> bytes:
    """Cuts off a WAV header; whatever is not what the network was made for is refused."""
    at = sound.find(b"data")
    if at < 36 or sound[20:36] != (
        (1).to_bytes(2, "little") + (1).to_bytes(2, "little") + RATE.to_bytes(4, "little")
        + (2 * RATE).to_bytes(4, "little") + (2).to_bytes(2, "little") + (16).to_bytes(2, "little")
    ):  # fmt: skip
        raise ValueError("This WAV file is not 16-bit PCM, mono, 16 kHz.")
    return sound[at + 8 :]
