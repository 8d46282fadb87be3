"""The smallest example, and what all builds promise."""

from __future__ import annotations

from pathlib import Path

import examples_kit
import pytest

pytestmark = pytest.mark.timeout(120)


def test_the_noop_handler_answers_ok(tmp_path: Path) -> None:
    with examples_kit.serving("noop", folder=tmp_path) as client:
        assert client.predict("noop", b"anything", timeout=examples_kit.CALL_S).text == "OK"
        assert [part.text for part in client.predict_stream("noop", b"", timeout=examples_kit.CALL_S)] == ["OK"]


def test_a_second_build_has_nothing_to_do_and_says_so() -> None:
    assert "wrote" in examples_kit.build("noop", "--force")
    assert "up to date" in examples_kit.build("noop")
