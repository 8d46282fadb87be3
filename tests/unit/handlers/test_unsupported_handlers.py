"""Handlers for runtimes that stoker does not serve are there, and say so."""

from __future__ import annotations

import importlib

import pytest

from stoker.worker import loading


@pytest.mark.parametrize(
    ("name", "asynchronous", "sentence"),
    [("trt_llm_handler", True, "Use vllm_handler"), ("dali_image_classifier", False, "Use image_classifier")],
)
def test_a_handler_that_is_not_served_says_what_to_use(name: str, asynchronous: bool, sentence: str) -> None:
    importlib.import_module(f"ts.torch_handler.{name}")
    entry = loading.find_entry(name, asynchronous=asynchronous)
    with pytest.raises(ImportError, match=sentence):
        entry.initialize(None)  # type: ignore[arg-type]  # it is not looked at
