"""The voice activity detector hears a conversation piece by piece, with its real weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import examples_kit
import grpc
import pytest

from stoker.client import Client, SequencePart, SequenceRequest

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

SPEECH = examples_kit.ROOT / "examples" / "voice_activity" / "speech.wav"
BYTES_PER_S = 32_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with examples_kit.serving("voice_activity", folder=tmp_path_factory.mktemp("server")) as client:
        yield client


def cut(sound: bytes, size: int) -> list[bytes]:
    return [sound[at : at + size] for at in range(0, len(sound), size)]


def hear(client: Client, **sounds: Sequence[bytes]) -> dict[str, list[dict[str, Any]]]:
    """Sends the pieces of several sounds in turn; returns all answers of each."""
    asked = []
    for number in range(max(map(len, sounds.values()))):
        for id, pieces in sounds.items():
            if number < len(pieces):
                asked.append(SequenceRequest("voice_activity", pieces[number], id, end=number == len(pieces) - 1))
    answers: dict[str, list[dict[str, Any]]] = {id: [] for id in sounds}
    for part in client.predict_sequences(asked, timeout=examples_kit.CALL_S):
        assert part.error is None, part.error
        answers[part.sequence_id].append(json.loads(part.data))
    return answers


def test_speech_is_found_where_somebody_speaks(client: Client) -> None:
    last = hear(client, a=cut(SPEECH.read_bytes(), BYTES_PER_S))["a"][-1]
    assert last["heard_s"] > 29.9
    assert last["speech_s"][0][0] == pytest.approx(6.8, abs=0.2)


def test_cutting_and_company_change_nothing(client: Client) -> None:
    """The state of each stream is its own, whatever shares its batches and wherever its pieces end."""
    sound = SPEECH.read_bytes()[: 12 * BYTES_PER_S]
    whole = hear(client, whole=[sound])["whole"][-1]
    assert whole["speech_s"]
    silence = [bytes(BYTES_PER_S)] * 12
    together = hear(client, a=cut(sound, 10_000), b=cut(sound, BYTES_PER_S), quiet=silence)
    found = [answers[-1]["speech_s"] for answers in (together["a"], together["b"])]
    assert found == [whole["speech_s"]] * 2
    assert together["quiet"][-1]["speech_s"] == []


def test_a_bad_piece_is_an_error_of_its_own_and_the_stream_goes_on(client: Client, tmp_path: Path) -> None:
    asked = [SequenceRequest("voice_activity", piece, "s") for piece in (bytes(2_000), bytes(3), bytes(2_000))]
    parts: list[SequencePart] = list(client.predict_sequences(asked, timeout=examples_kit.CALL_S))
    assert [part.error.code if part.error else None for part in parts] == [None, grpc.StatusCode.INVALID_ARGUMENT, None]
    assert json.loads(parts[2].data)["heard_s"] == pytest.approx(2_000 / 16_000, abs=0.04)
