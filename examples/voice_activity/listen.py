"""Sends sound files side by side, as so many microphones would, over one call of StreamPredictions2."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from stoker.client import AsyncClient, Endpoint, SequenceRequest

PIECE_S = 0.25
BYTES_PER_S = 32_000


async def pieces(files: list[Path], speed: float) -> AsyncIterator[SequenceRequest]:
    """Yields a piece of each file in turn, ``speed`` times as fast as it was spoken."""
    size = int(PIECE_S * BYTES_PER_S)
    sounds = {f"{number}: {file.name}": file.read_bytes() for number, file in enumerate(files, 1)}
    for at in range(0, max(map(len, sounds.values())), size):
        for id, sound in sounds.items():
            if at < len(sound):
                last = at + size >= len(sound)
                yield SequenceRequest("voice_activity", sound[at : at + size], id, start=at == 0, end=last)
        await asyncio.sleep(PIECE_S / speed)


async def listen(address: str | None, files: list[Path], speed: float) -> int:
    """Prints each change between speech and silence; returns how many pieces failed."""
    spoken: dict[str, int] = {}
    failed = 0
    async with AsyncClient(Endpoint(inference=address) if address else None) as client:
        async for part in client.predict_sequences(pieces(files, speed)):
            if part.error is not None:
                print(f"{part.sequence_id}: {part.error}", flush=True)
                failed += 1
                continue
            found = json.loads(part.data)["speech_s"]
            if len(found) > spoken.get(part.sequence_id, 0):
                spoken[part.sequence_id] = len(found)
                print(f"{part.sequence_id}: speech from {found[-1][0]} s", flush=True)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description="Tells when somebody speaks in sound files, heard side by side.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="WAV files, 16-bit PCM, mono, 16 kHz")
    parser.add_argument("--address", help="of the server (default: 127.0.0.1:7070)")
    parser.add_argument("--speed", type=float, default=20.0, help="1: as fast as it was spoken (default: 20)")
    options = parser.parse_args()
    raise SystemExit(1 if asyncio.run(listen(options.address, options.files, options.speed)) else 0)


if __name__ == "__main__":
    main()
