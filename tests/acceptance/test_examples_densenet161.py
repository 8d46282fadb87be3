"""DenseNet-161 through the built-in handler; its answers mean something only with the hub's weights, and say so."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator

import examples_kit
import pytest

from stoker.client import CallError, Client

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]
NAME = "densenet161"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    examples_kit.build("image_classifier")  # writes kitten.jpg
    with examples_kit.serving(NAME, folder=tmp_path_factory.mktemp(NAME)) as client:
        yield client


def pretrained() -> bool:
    with zipfile.ZipFile(examples_kit.ARCHIVES / f"{NAME}.mar") as archive:
        return bool(json.loads(archive.read("weights.json"))["pretrained"])


def test_five_classes_come_back_and_random_weights_show_in_every_label(client: Client) -> None:
    kitten = (examples_kit.ROOT / "examples" / "image_classifier" / "kitten.jpg").read_bytes()
    answer = client.predict(NAME, kitten, timeout=examples_kit.CALL_S).json()
    assert len(answer) == 5
    assert all(label.endswith(" (RANDOM WEIGHTS)") != pretrained() for label in answer)
    if pretrained():
        assert "cat" in next(iter(answer)) or "tabby" in next(iter(answer))


def test_every_build_with_random_weights_says_so_loudly() -> None:
    output = examples_kit.build(NAME)
    assert "up to date" in output
    assert ("RANDOM WEIGHTS" in output) != pretrained()


def test_it_is_gone_once_unregistered(client: Client) -> None:
    client.unregister(NAME, timeout=examples_kit.CALL_S)
    with pytest.raises(CallError, match=f"Model not found: {NAME}"):
        client.predict(NAME, b"", timeout=examples_kit.CALL_S)
