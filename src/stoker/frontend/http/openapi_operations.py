"""Lists the operations of each API for its OpenAPI document. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stoker import TORCHSERVE_VERSION
from stoker.frontend.http import openapi_open_inference
from stoker.frontend.http.openapi import (
    BODY,
    DOCUMENT,
    EVERY,
    FLAG,
    MODEL_DESCRIPTION,
    MODEL_LIST,
    STATUS,
    TEXT,
    TOO_LARGE,
    UNKNOWN,
    WHOLE,
    WORKFLOW_DESCRIPTION,
    WORKFLOW_LIST,
    Json,
    Operation,
    answer,
    document,
    errors,
    listed,
    listing,
    parameter,
    prediction,
    query,
    registration,
    told,
    with_default,
)

# -------------------------------------------------------------------------------------------------- workflows

_WORKFLOW = parameter("path", "workflow_name", TEXT, "Name of the workflow", required=True)

WORKFLOW_PREDICTION = Operation(
    path="/wfpredict/{workflow_name}",
    method="post",
    id="workflowPredictions",
    summary="Predicts with a workflow. Also by any other method",
    parameters=[_WORKFLOW],
    body=BODY,
    responses={
        "200": answer("The output of the only leaf as it is, or a JSON object of all leaves"),
        "default": answer("A node failed with the status that its handler chose"),
        **errors(400, 404, 500, 503, 504, 507),
        **TOO_LARGE,
    },
)

_WORKFLOW_REGISTRATION: dict[str, tuple[Json, str]] = {
    "url": (TEXT, "Name of an archive in the workflow store, or an allowed URL"),
    "workflow_name": (TEXT, "Name to serve it under; the archive's if not given"),
    "response_timeout": (WHOLE, "Seconds for one batch of a node; -1: what its archive or the settings say"),
    "startup_timeout": (WHOLE, "Seconds for the start of a node's worker; -1: what its archive or the settings say"),
    "s3_sse_kms": (with_default(FLAG, False), "Sign the download for S3"),
    "synchronous": (with_default(FLAG, True), "Answer when the workers of all nodes are ready"),
}

WORKFLOW_MANAGEMENT: Sequence[Operation] = (
    listing("/workflows", "listWorkflows", "Lists the workflows", "workflows", WORKFLOW_LIST),
    registration(
        "/workflows",
        "registerWorkflow",
        "Registers a workflow and a model for each node, or nothing",
        _WORKFLOW_REGISTRATION,
        told("Registered"),
    ),
    Operation(
        path="/workflows/{workflow_name}",
        method="get",
        id="describeWorkflow",
        summary="Describes a workflow",
        parameters=[_WORKFLOW],
        responses={"200": answer("The workflow", listed(WORKFLOW_DESCRIPTION)), **EVERY, **UNKNOWN},
    ),
    Operation(
        path="/workflows/{workflow_name}",
        method="delete",
        id="unregisterWorkflow",
        summary="Unregisters a workflow and the models of its nodes",
        parameters=[_WORKFLOW],
        responses={**told("Unregistered"), **EVERY, **errors(404, 405)},
    ),
)


_MODEL_API_VERSION = "1.0.0"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MODEL = parameter("path", "model_name", TEXT, "Name of the model", required=True)
_VERSION = parameter("path", "model_version", TEXT, "Version of the model", required=True)


# ---------------------------------------------------------------------------------------------- every listener

_DESCRIBED = {"200": answer("The OpenAPI document of this listener", DOCUMENT)}

DESCRIPTION: Sequence[Operation] = (
    Operation(path="/", method="options", id="apiDescription", summary="Describes the APIs", responses=_DESCRIBED),
    Operation(
        path="/api-description",
        method="get",
        id="api-description",
        summary="Describes the APIs; OPTIONS / does the same",
        responses=_DESCRIBED,
        deprecated=True,
    ),
)

METRICS: Sequence[Operation] = (
    Operation(
        path="/metrics",
        method="get",
        id="metrics",
        summary="Metrics in Prometheus' text format",
        parameters=[parameter("query", "name[]", listed(TEXT), "Names of the samples wanted; all if none is given")],
        responses={"200": answer("The samples; none where metrics go to logs", TEXT, METRICS_TYPE)},
    ),
)


# -------------------------------------------------------------------------------------------------- inference

INFERENCE: Sequence[Operation] = (
    Operation(
        path="/ping",
        method="get",
        id="ping",
        summary="Whether all models have the workers they should have",
        responses={
            "200": answer("They have", STATUS),
            **errors(400),
            "500": answer("They have not", STATUS),
        },
    ),
    prediction("/v1/models/{model_name}:predict", "kserve_v1_predictions", _MODEL),
    prediction("/v2/models/{model_name}/infer", "kserve_v2_predictions", _MODEL),
    prediction("/predictions/{model_name}", "predictions", _MODEL),
    prediction("/predictions/{model_name}/{model_version}", "version_predictions", _MODEL, _VERSION),
    WORKFLOW_PREDICTION,
)


def predictions_of_model(model: str) -> dict[str, Any]:
    """Describes a model's predictions, for OPTIONS on its prediction path.

    The first path is misspelt in TorchServe too, and its operation id is the model's name.
    """
    operations = (
        prediction(f"/prediction/{model}", model),
        prediction(f"/v1/models/{model}:predict", "kserve_v1_predictions"),
        prediction(f"/v2/models/{model}/infer", "kserve_v2_predictions"),
    )
    return document(f"RESTful API for: {model}", _MODEL_API_VERSION, operations)


# ------------------------------------------------------------------------------------------------- management

_REGISTRATION: dict[str, tuple[Json, str]] = {
    "url": (TEXT, "Name of an archive in the model store, or an allowed URL"),
    "model_name": (TEXT, "Name to serve it under; the archive's if not given"),
    "handler": (TEXT, "Handler; the archive's if not given"),
    "runtime": (TEXT, "python; the archive's if not given"),
    "batch_size": (WHOLE, "Most requests in one batch; -1: what the archive says, else 1"),
    "max_batch_delay": (WHOLE, "Most milliseconds a batch is waited for; -100: what the archive says, else 100"),
    "initial_workers": (WHOLE, "Workers; the setting default_workers_per_model if not given"),
    "synchronous": (with_default(FLAG, True), "Answer when the workers are ready"),
    "response_timeout": (WHOLE, "Seconds for one batch; -1: what the archive or the settings say"),
    "startup_timeout": (WHOLE, "Seconds for the start of a worker; -1: what the archive or the settings say"),
    "s3_sse_kms": (with_default(FLAG, False), "Sign the download for S3"),
}

_REGISTER = registration(
    "/models",
    "registerModel",
    "Registers a model",
    _REGISTRATION,
    {
        **told("Registered"),
        "202": answer("Registered; its workers are starting", STATUS),
        "206": answer("Registered; not all workers are ready", STATUS),
        **errors(507),
    },
)
_LIST = listing("/models", "listModels", "Lists the models, each in its default version", "models", MODEL_LIST)


def _of_model(path: str, *parameters: Json, prefix: str = "") -> Sequence[Operation]:
    """Lists the operations on one model, or on one of its versions."""
    return (
        Operation(
            path=path,
            method="get",
            id=f"{prefix}describeModel",
            summary="Describes a model; the version all: every version of it",
            parameters=[
                *parameters,
                query("customized", with_default(FLAG, False), "Ask the handler too; it may choose the status"),
            ],
            responses={
                "200": answer("One entry for each version", listed(MODEL_DESCRIPTION)),
                "default": answer("Status that the handler chose"),
                **EVERY,
                **errors(404, 408, 507),
            },
        ),
        Operation(
            path=path,
            method="put",
            id=f"{prefix}setAutoScale",
            summary="Sets the number of workers",
            parameters=[
                *parameters,
                query("min_worker", with_default(WHOLE, 1), "Fewest workers; 0: none"),
                query("max_worker", WHOLE, "Most workers; as many as the fewest if not given"),
                query("number_gpu", WHOLE, "Ignored"),
                query("synchronous", with_default(FLAG, False), "Answer when it is done"),
                query("timeout", WHOLE, "Ignored"),
            ],
            responses={
                **told("Done"),
                "202": answer("Workers are starting or stopping", STATUS),
                "206": answer("Not all workers are ready", STATUS),
                **EVERY,
                **errors(404, 507),
            },
        ),
        Operation(
            path=path,
            method="delete",
            id=f"{prefix}unregisterModel",
            summary="Unregisters a model version",
            parameters=parameters,
            responses={**told("Unregistered"), **EVERY, **errors(404, 405, 408)},
        ),
    )


_ONE_MODEL: Sequence[Operation] = (
    *_of_model("/models/{model_name}", _MODEL),
    *_of_model("/models/{model_name}/{model_version}", _MODEL, _VERSION, prefix="version_"),
    Operation(
        path="/models/{model_name}/{model_version}/set-default",
        method="put",
        id="setDefault",
        summary="Makes a version the default one",
        parameters=(_MODEL, _VERSION),
        responses={**told(), **EVERY, **UNKNOWN},
    ),
)

MANAGEMENT: Sequence[Operation] = (_LIST, _REGISTER, *_ONE_MODEL, *WORKFLOW_MANAGEMENT)


def management_of_model(model: str) -> dict[str, Any]:
    """Describes a model's management, for OPTIONS on its management path.

    As in TorchServe, only the title names the model.
    """
    return document(f"RESTful Management API for: {model}", TORCHSERVE_VERSION, _ONE_MODEL)


def of_listener(*, inference: bool, management: bool, metrics: bool, tensors: bool = False) -> Sequence[Operation]:
    """Describes a listener with these APIs. ``tensors``: with the open inference protocol. As in TorchServe, one for
    metrics alone lists nothing else."""
    if metrics and not (inference or management):
        return METRICS
    paths = openapi_open_inference.INFERENCE if inference else openapi_open_inference.EVERY_LISTENER
    return [
        DESCRIPTION[0],
        *(INFERENCE if inference else ()),
        *(paths if tensors else ()),
        *(MANAGEMENT if management else ()),
        DESCRIPTION[1],
        *(METRICS if metrics else ()),
    ]
