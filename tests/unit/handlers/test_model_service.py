"""Handlers as they were written before `BaseHandler`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import ts.model_service
from stoker.worker.context import Context
from ts.model_service.model_service import ModelService, SingleNodeService


class Doubles(SingleNodeService):
    def _preprocess(self, data: Any) -> Any:
        return data[0]

    def _inference(self, data: Any) -> Any:
        return [number * 2 for number in data]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    signature = {"input_type": "application/json", "inputs": [{"data_name": "numbers"}]}
    (tmp_path / "signature.json").write_text(json.dumps(signature))
    return Context("m", str(tmp_path), {"Model": {"Signature": "signature.json"}}, 1, None, "0.12.0")


def service(context: Context) -> Doubles:
    made = Doubles("m", context.system_properties["model_dir"], context.manifest)
    made.initialize(context)
    return made


@pytest.mark.parametrize(
    "row",
    [
        {"numbers": bytearray(b"[1, 2]")},
        {"body": b"[1, 2]"},
        {"data": [1, 2]},
        {"numbers": b"(1, 2)"},
    ],
)
def test_the_data_is_found_and_decoded_as_the_signature_says(context: Context, row: Any) -> None:
    assert service(context).handle([row], context) == [2, 4]
    assert service(context).signature()["input_type"] == "application/json"


def test_the_time_of_each_step_is_logged(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service(context).handle([{"data": [1]}], context)
    assert [text.split(" time: ")[0] for text in caplog.messages] == ["preprocess", "inference", "postprocess"]


def test_an_answer_that_is_no_list_becomes_one(context: Context) -> None:
    class Counts(ModelService):
        def inference(self, data: Any) -> Any:
            return len(data)

        def ping(self) -> str:
            return "healthy!"

    made = Counts("m", "/", None)
    made.initialize(context)
    assert made.handle([{"data": [1, 2, 3]}], context) == [1]


def test_a_signature_that_is_missing_is_named(context: Context, tmp_path: Path) -> None:
    (tmp_path / "signature.json").unlink()
    with pytest.raises(ValueError, match="Signature file is not found"):
        service(context)


def test_the_package_brings_its_module() -> None:
    assert ts.model_service.model_service.ModelService is ModelService
