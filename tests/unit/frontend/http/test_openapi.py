"""The documents as a whole: TorchServe's paths and ids, and nothing that a generator of clients stumbles over."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stoker.frontend.http.openapi import document
from stoker.frontend.http.openapi_operations import listener_operations, management_of_model, predictions_of_model

ROLES = {"inference": False, "management": False, "metrics": False}
DOCUMENTS: dict[str, dict[str, Any]] = {
    **{role: document("t", "0.12.0", listener_operations(**{**ROLES, role: True})) for role in ROLES},
    "all": document("t", "0.12.0", listener_operations(inference=True, management=True, metrics=True, tensors=True)),
    "predictions of a model": predictions_of_model("m"),
    "management of a model": management_of_model("m"),
}


def operations(whole: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, verb, one) for path, verbs in whole["paths"].items() for verb, one in verbs.items()]


def test_the_inference_listener_lists_torchserves_paths_and_ids() -> None:
    assert [(path, verb, one["operationId"]) for path, verb, one in operations(DOCUMENTS["inference"])] == [
        ("/", "options", "apiDescription"),
        ("/ping", "get", "ping"),
        ("/v1/models/{model_name}:predict", "post", "kserve_v1_predictions"),
        ("/v2/models/{model_name}/infer", "post", "kserve_v2_predictions"),
        ("/predictions/{model_name}", "post", "predictions"),
        ("/predictions/{model_name}/{model_version}", "post", "version_predictions"),
        ("/wfpredict/{workflow_name}", "post", "workflowPredictions"),
        ("/api-description", "get", "api-description"),
    ]


def test_the_open_inference_protocol_is_described_where_it_is_served() -> None:
    own = {path for path, _, _ in operations(DOCUMENTS["inference"])}
    model = "/v2/models/{model_name}"
    version = f"{model}/versions/{{model_version}}"
    everywhere = [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2",
        "/v2/models",
        "/v2/models/stats",
        *(f"{path}{end}" for path in (model, version) for end in ("", "/ready", "/config", "/stats")),
        "/v2/repository/index",
        "/v2/repository/models/{model_name}/load",
        "/v2/repository/models/{model_name}/unload",
    ]
    for more, role in (([f"{version}/infer"], "inference"), ([], "management")):
        listed = document("t", "1", listener_operations(**{**ROLES, role: True}, tensors=True))
        new = [path for path, _, _ in operations(listed) if path.startswith("/v2") and path not in own]
        assert new == [*everywhere, *more]


def test_the_metrics_listener_lists_its_one_path() -> None:
    assert [(path, verb) for path, verb, _ in operations(DOCUMENTS["metrics"])] == [("/metrics", "get")]


def test_a_model_is_described_in_torchserves_words() -> None:
    whole = predictions_of_model("m")
    assert (whole["info"]["title"], whole["info"]["version"]) == ("RESTful API for: m", "1.0.0")
    assert [(path, verb, one["operationId"]) for path, verb, one in operations(whole)] == [
        ("/prediction/m", "post", "m"),
        ("/v1/models/m:predict", "post", "kserve_v1_predictions"),
        ("/v2/models/m/infer", "post", "kserve_v2_predictions"),
    ]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_ids_are_unique_and_every_word_of_a_path_is_a_parameter(name: str) -> None:
    ids = [one["operationId"] for _, _, one in operations(DOCUMENTS[name])]
    assert len(ids) == len(set(ids))
    for path, verb, one in operations(DOCUMENTS[name]):
        declared = {each["name"] for each in one.get("parameters", ()) if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), (verb, path)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_only_the_get_of_the_description_is_deprecated(name: str) -> None:
    deprecated = {(path, verb) for path, verb, one in operations(DOCUMENTS[name]) if one.get("deprecated")}
    assert deprecated == (
        {("/api-description", "get")} & {(path, verb) for path, verb, _ in operations(DOCUMENTS[name])}
    )
