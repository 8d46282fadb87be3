"""`ts.model_service_worker`, as tests of handlers written for TorchServe use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ts.model_service_worker import TorchModelServiceWorker


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "upper_service.py").write_text(
        "def handle(data, context):\n    return data and [bytes(row['data']).upper() for row in data]\n"
    )
    return tmp_path


def worker() -> TorchModelServiceWorker:
    return TorchModelServiceWorker("unix", "/tmp/not-made.sock")


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_model_is_loaded_and_its_service_predicts(model: Path, as_bytes: bool) -> None:
    texts = {"modelPath": str(model), "modelName": "upper", "handler": "upper_service.py"}
    request: dict[str, Any] = {name: text.encode() if as_bytes else text for name, text in texts.items()}
    service, text, number = worker().load_model({**request, "batchSize": b"2", "gpu": None})
    assert (text, number) == ("loaded model upper", 200)
    assert service is not None and service.context.system_properties["batch_size"] == 2
    answer = service.predict([{"requestId": b"1", "parameters": [{"name": "data", "value": b"ab"}], "headers": []}])
    assert b"AB" in answer


def test_a_model_that_does_not_fit_is_507(model: Path) -> None:
    (model / "large.py").write_text("def handle(data, context):\n    raise MemoryError\n")
    request = {"modelPath": str(model), "modelName": "large", "handler": "large.py"}
    assert worker().load_model(request) == (None, "System out of memory", 507)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Incomplete data provided"),
        (("unix",), "No socket name given"),
        (("tcp",), "No socket port given"),
    ],
)
def test_wrong_arguments_are_refused_in_torchserves_words(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TorchModelServiceWorker(*arguments)


def test_it_says_who_serves_models() -> None:
    with pytest.raises(NotImplementedError, match="start torchserve"):
        worker().run_server()
