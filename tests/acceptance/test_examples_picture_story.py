"""A picture is classified and told in a sentence, by two real models and a function, through a real server."""

from __future__ import annotations

from collections.abc import Iterator

import examples_kit
import pytest

from stoker.client import CallError, Client

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]
NAME = "picture_story"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with examples_kit.serving(folder=tmp_path_factory.mktemp(NAME), workflow=NAME) as client:
        yield client


def test_a_picture_is_told_in_a_sentence(client: Client) -> None:
    answer = client.predict_workflow(NAME, examples_kit.picture("coffee.png"), timeout=examples_kit.CALL_S)
    assert list(answer.outputs) == ["tell"]
    assert answer.text.startswith("A classic espresso is a type of coffee")
    assert {node: how.attempts for node, how in answer.trace.items()} == {"classify": 1, "ask": 1, "tell": 1}


def test_an_inner_node_can_be_asked_for(client: Client) -> None:
    nodes = ["classify", "ask"]
    outputs = client.predict_workflow(
        NAME, examples_kit.picture("camera.png"), nodes=nodes, timeout=examples_kit.CALL_S
    ).outputs
    assert b'"tripod": 0.9' in outputs["classify"]
    assert b"What is a tripod?" in outputs["ask"]


def test_the_sentence_is_streamed_as_the_model_writes_it(client: Client) -> None:
    parts = list(client.stream_workflow(NAME, examples_kit.picture("camera.png"), timeout=examples_kit.CALL_S))
    assert len(parts) > 5
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert "tripod" in "".join(part.text for part in parts)


def test_a_client_of_torchserve_reaches_it_by_its_name(client: Client) -> None:
    assert "espresso" in client.predict(NAME, examples_kit.picture("coffee.png"), timeout=examples_kit.CALL_S).text


def test_a_picture_that_cannot_be_read_names_the_node(client: Client) -> None:
    with pytest.raises(CallError, match=r"Error executing classify: .*not a picture that can be read"):
        client.predict_workflow(NAME, b"this is no picture", timeout=examples_kit.CALL_S)
