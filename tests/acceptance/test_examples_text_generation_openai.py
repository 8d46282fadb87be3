"""SmolLM2 answers the package openai, unmodified and in a process of its own, below the model's path and below /v1.

`scripts/install --clients` brings the package; without it the test is skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import examples_kit
import pytest
from client_programs import Program

from stoker.testing.server import running_server

NAME = "text_generation"
PYTHON = Path(sys.prefix) / "clients" / "openai" / "bin" / "python"
PROGRAM = examples_kit.ROOT / "tests" / "clients" / "openai_client.py"
PARIS = "The capital of France is Paris."
STORY = ", the city of Nova"

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON.exists(), reason="scripts/install --clients"),
]


def bad(message: str) -> list[Any]:
    return ["BadRequestError", 400, message]


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    examples_kit.build(NAME)
    settings = {"load_models": f"{NAME}.mar", "openai_model": NAME}
    with running_server(archives=[examples_kit.ARCHIVES / f"{NAME}.mar"], settings=settings, wait_s=240) as server:
        program = Program([str(PYTHON), str(PROGRAM), server.inference, NAME])
        try:
            program.process.wait(examples_kit.CALL_S)
        finally:
            program.wait()
        assert program.process.returncode == 0, program.errors
        yield program.seen


@pytest.mark.parametrize("prefix", ["model", "plain"])
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("models", [NAME]),
        ("chat", ["chat.completion", PARIS, "stop"]),
        ("usage", [8, 8]),
        ("chat stream", [PARIS, True, "stop", True]),
        ("stream usage", 8),
        ("completion", ["text_completion", STORY, "length"]),
        ("completion stream", STORY),
        ("no messages", bad("messages must be a list that is not empty")),
        ("unknown model", ["NotFoundError", 404, f"The model 'x' does not exist; this is '{NAME}'."]),
        ("turns", True),
        ("stop", ["The capital of France is", "stop"]),
        ("stop in a stream", ["The capi", "stop"]),
        ("harmless", 2),
        ("refused stop", bad("stop must be a text or a list of texts that are not empty")),
        ("refused stops", bad("stop has more than 4 texts")),
        ("refused n", bad("n must be 1")),
        ("refused logprobs", bad("logprobs is not supported")),
        ("refused limit", bad("max_tokens must be a whole number, at least 1")),
        ("refused tool", bad("the role of a message must be one of: system, developer, user, assistant")),
        ("refused picture", bad("only parts of type text are supported")),
        ("refused no content", bad("the content of a message must be text")),
    ],
)
def test_openais_client_gets_what_it_expects(seen: dict[str, Any], prefix: str, case: str, expected: object) -> None:
    assert seen[f"{prefix} {case}"] == expected


def test_several_chats_at_a_time_are_answered_alike(seen: dict[str, Any]) -> None:
    assert seen["together"] == [PARIS]
