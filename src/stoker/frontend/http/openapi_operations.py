"""Lists the operations of each API for its OpenAPI document. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stoker import TORCHSERVE_VERSION
from stoker.frontend.http import openapi_open_inference
from stoker.frontend.http.openapi import (
    ANY_BODY,
    BOOLEAN,
    COMMON_ERRORS,
    INT32,
    MODEL_DESCRIPTION,
    NOT_FOUND,
    OPENAPI_DOCUMENT,
    STATUS,
    STRING,
    TOO_LARGE,
    WORKFLOW_DESCRIPTION,
    Json,
    Operation,
    array_of,
    document,
    errors,
    listing,
    prediction,
    query,
    registration,
    response,
    status_response,
    with_default,
)

# -------------------------------------------------------------------------------------------------- workflows

WORKFLOW_PREDICTION = Operation(
    "post /wfpredict/{workflow_name}",
    "workflowPredictions",
    "Predicts with a workflow; any other method does the same",
    {
        "200": response("The output of the only leaf, or a JSON object of the outputs of all leaves"),
        "default": response("A node failed: the status that its handler chose"),
        **errors(400, 404, 500, 503, 504, 507),
        **TOO_LARGE,
    },
    body=ANY_BODY,
)

_WORKFLOW_REGISTRATION: dict[str, tuple[Json, str]] = {
    "url": (STRING, "Name of an archive in the workflow store, or an allowed URL"),
    "workflow_name": (STRING, "Name to serve it under; the archive's if not given"),
    "response_timeout": (INT32, "Seconds for one batch of a node; -1: what its archive or the settings say"),
    "startup_timeout": (INT32, "Seconds for the start of a node's worker; -1: what its archive or the settings say"),
    "s3_sse_kms": (with_default(BOOLEAN, False), "Sign the download for S3"),
    "synchronous": (with_default(BOOLEAN, True), "Answer when the workers of all nodes are ready"),
}

WORKFLOW_MANAGEMENT: Sequence[Operation] = (
    listing("workflow", "listWorkflows", "Lists the workflows"),
    registration(
        "/workflows",
        "registerWorkflow",
        "Registers a workflow and a model for each node, or nothing",
        _WORKFLOW_REGISTRATION,
        status_response("Registered"),
    ),
    Operation(
        "get /workflows/{workflow_name}",
        "describeWorkflow",
        "Describes a workflow",
        {"200": response("The workflow", array_of(WORKFLOW_DESCRIPTION)), **COMMON_ERRORS, **NOT_FOUND},
    ),
    Operation(
        "delete /workflows/{workflow_name}",
        "unregisterWorkflow",
        "Unregisters a workflow and the models of its nodes",
        {**status_response("Unregistered"), **COMMON_ERRORS, **errors(404, 405)},
    ),
)


_MODEL_API_VERSION = "1.0.0"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


# ---------------------------------------------------------------------------------------------- every listener

_DESCRIBED = {"200": response("OpenAPI document of this listener", OPENAPI_DOCUMENT)}

DESCRIPTION: Sequence[Operation] = (
    Operation("options /", "apiDescription", "Describes the APIs", _DESCRIBED),
    Operation(
        "get /api-description",
        "api-description",
        "Describes the APIs; OPTIONS / does the same",
        _DESCRIBED,
        deprecated=True,
    ),
)

METRICS: Sequence[Operation] = (
    Operation(
        "get /metrics",
        "metrics",
        "Metrics in Prometheus' text format",
        {"200": response("The samples; none if metrics go to the log", STRING, METRICS_TYPE)},
        [query("name[]", array_of(STRING), "Names of the samples to return; all if not given")],
    ),
)


# -------------------------------------------------------------------------------------------------- inference

INFERENCE: Sequence[Operation] = (
    Operation(
        "get /ping",
        "ping",
        "Whether every model has its minimum of workers",
        {"200": response("Every model has", STATUS), **errors(400), "500": response("Some model has not", STATUS)},
    ),
    prediction("/v1/models/{model_name}:predict", "kserve_v1_predictions"),
    prediction("/v2/models/{model_name}/infer", "kserve_v2_predictions"),
    prediction("/predictions/{model_name}", "predictions"),
    prediction("/predictions/{model_name}/{model_version}", "version_predictions"),
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
    "url": (STRING, "Name of an archive in the model store, or an allowed URL"),
    "model_name": (STRING, "Name to serve it under; the archive's if not given"),
    "handler": (STRING, "Handler; the archive's if not given"),
    "runtime": (STRING, "python; the archive's if not given"),
    "batch_size": (INT32, "Most requests per batch; -1: what the archive says, else 1"),
    "max_batch_delay": (INT32, "Milliseconds that a batch may take to fill; -100: what the archive says, else 100"),
    "initial_workers": (INT32, "Workers to start; the setting default_workers_per_model if not given"),
    "synchronous": (with_default(BOOLEAN, True), "Answer when the workers are ready"),
    "response_timeout": (INT32, "Seconds for one batch; -1: what the archive or the settings say"),
    "startup_timeout": (INT32, "Seconds for the start of a worker; -1: what the archive or the settings say"),
    "s3_sse_kms": (with_default(BOOLEAN, False), "Sign the download for S3"),
}

_REGISTER = registration(
    "/models",
    "registerModel",
    "Registers a model",
    _REGISTRATION,
    {
        **status_response("Registered"),
        "202": response("Registered; its workers are starting", STATUS),
        "206": response("Registered; not all workers are ready", STATUS),
        **errors(507),
    },
)
_LIST = listing("model", "listModels", "Lists the models, each in its default version")


def _on_model(path: str, *, prefix: str = "") -> Sequence[Operation]:
    """Lists the operations on one model, or on one of its versions."""
    return (
        Operation(
            f"get {path}",
            f"{prefix}describeModel",
            "Describes a model; version 'all' describes every version",
            {
                "200": response("One entry for each version", array_of(MODEL_DESCRIPTION)),
                "default": response("Status that the handler chose"),
                **COMMON_ERRORS,
                **errors(404, 408, 507),
            },
            [query("customized", with_default(BOOLEAN, False), "Also ask the handler, which may choose the status")],
        ),
        Operation(
            f"put {path}",
            f"{prefix}setAutoScale",
            "Sets the number of workers",
            {
                **status_response("Done"),
                "202": response("Workers are starting or stopping", STATUS),
                "206": response("Not all workers are ready", STATUS),
                **COMMON_ERRORS,
                **errors(404, 507),
            },
            [
                query("min_worker", with_default(INT32, 1), "Fewest workers; 0: none"),
                query("max_worker", INT32, "Most workers; min_worker if not given"),
                query("number_gpu", INT32, "Ignored"),
                query("synchronous", with_default(BOOLEAN, False), "Answer when the workers are ready"),
                query("timeout", INT32, "Ignored"),
            ],
        ),
        Operation(
            f"delete {path}",
            f"{prefix}unregisterModel",
            "Unregisters a model version",
            {**status_response("Unregistered"), **COMMON_ERRORS, **errors(404, 405, 408)},
        ),
    )


_ONE_MODEL: Sequence[Operation] = (
    *_on_model("/models/{model_name}"),
    *_on_model("/models/{model_name}/{model_version}", prefix="version_"),
    Operation(
        "put /models/{model_name}/{model_version}/set-default",
        "setDefault",
        "Makes a version the default one",
        {**status_response(), **COMMON_ERRORS, **NOT_FOUND},
    ),
)

MANAGEMENT: Sequence[Operation] = (_LIST, _REGISTER, *_ONE_MODEL, *WORKFLOW_MANAGEMENT)


def management_of_model(model: str) -> dict[str, Any]:
    """Describes a model's management, for OPTIONS on its management path.

    As in TorchServe, only the title names the model.
    """
    return document(f"RESTful Management API for: {model}", TORCHSERVE_VERSION, _ONE_MODEL)


def listener_operations(
    *, inference: bool, management: bool, metrics: bool, tensors: bool = False
) -> Sequence[Operation]:
    """Lists the operations of a listener with these APIs. ``tensors``: with the open inference protocol. As in
    TorchServe, a listener for metrics alone lists nothing else."""
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
