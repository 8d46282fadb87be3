"""EfficientNet-Lite0 with its real weights classifies real pictures, through a real server."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import examples_kit
import pytest
from PIL import Image

from stoker.client import CallError, Client

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]
NAME = "image_classifier"
CATS = {"tiger_cat", "tabby", "Egyptian_cat"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with examples_kit.serving(NAME, folder=tmp_path_factory.mktemp(NAME), batch_size=4) as client:
        yield client


def classes(client: Client, content: bytes) -> dict[str, float]:
    answer: dict[str, float] = client.predict(NAME, content, timeout=examples_kit.CALL_S).json()
    return answer


@pytest.mark.parametrize(("name", "label"), [("coffee.png", "espresso"), ("camera.png", "tripod")])
def test_a_picture_is_what_it_shows(client: Client, name: str, label: str) -> None:
    answer = classes(client, examples_kit.picture(name))
    assert len(answer) == 5
    assert next(iter(answer)) == label
    assert answer[label] > 0.9


def test_the_kitten_that_the_build_writes_is_a_cat(client: Client) -> None:
    answer = classes(client, (examples_kit.ROOT / "examples" / NAME / "kitten.jpg").read_bytes())
    assert set(list(answer)[:3]) == CATS


def test_one_unreadable_picture_spoils_no_other_of_its_batch(client: Client) -> None:
    good, bad = examples_kit.picture("coffee.png"), b"this is no picture"
    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(classes, client, content) for content in (good, bad) * 4]
    assert all(next(iter(call.result())) == "espresso" for call in calls[::2])
    for call in calls[1::2]:
        with pytest.raises(CallError, match="not a picture that can be read"):
            call.result()


def test_a_picture_of_one_pixel_by_many_is_answered(client: Client) -> None:
    """Resized to 256 pixels at its short side, it would take 20 GB."""
    file = io.BytesIO()
    Image.new("L", (1, 100_000)).save(file, "PNG")
    assert len(classes(client, file.getvalue())) == 5


def test_tritonclient_classifies_pictures_in_one_request(client: Client, tmp_path: Path) -> None:
    python = Path(sys.prefix) / "clients" / "python" / "bin" / "python"
    if not python.exists():
        pytest.skip("tritonclient is not installed (scripts/install --clients)")
    for name in ("coffee.png", "camera.png"):
        (tmp_path / name).write_bytes(examples_kit.picture(name))
    script = examples_kit.ROOT / "examples" / NAME / "infer_triton.py"
    command = [python, script, "--address", client.endpoint.inference, "coffee.png", "camera.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    lines = done.stdout.splitlines()
    assert lines[:1] == ["image: BYTES [-1] -> classes: BYTES [-1]"], done.stderr
    assert [line.rsplit(" ", 1)[0] for line in lines[1:]] == ["coffee.png: espresso", "camera.png: tripod"]
