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
    STATUS,
    TEXT,
    TOO_LARGE,
    UNKNOWN,
    WHOLE,
    WORKFLOW_DESCRIPTION,
    Json,
    Operation,
    answer,
    document,
    errors,
    listed,
    listing,
    prediction,
    query,
    registration,
    status_answer,
    with_default,
)

# -------------------------------------------------------------------------------------------------- workflows

WORKFLOW_PREDICTION = Operation(
    "post /wfpredict/{workflow_name}",
    "workflowPredictions",
    "Predicts with a workflow. Also by any other method",
    {
        "200": answer("The output of the only leaf as it is, or a JSON object of all leaves"),
        "default": answer("A node failed with the status that its handler chose"),
        **errors(400, 404, 500, 503, 504, 507),
        **TOO_LARGE,
    },
    body=BODY,
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
    listing("workflow", "listWorkflows", "Lists the workflows"),
    registration(
        "/workflows",
        "registerWorkflow",
        "Registers a workflow and a model for each node, or nothing",
        _WORKFLOW_REGISTRATION,
        status_answer("Registered"),
    ),
    Operation(
        "get /workflows/{workflow_name}",
        "describeWorkflow",
        "Describes a workflow",
        {"200": answer("The workflow", listed(WORKFLOW_DESCRIPTION)), **EVERY, **UNKNOWN},
    ),
    Operation(
        "delete /workflows/{workflow_name}",
        "unregisterWorkflow",
        "Unregisters a workflow and the models of its nodes",
        {**status_answer("Unregistered"), **EVERY, **errors(404, 405)},
    ),
)


_MODEL_API_VERSION = "1.0.0"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


# ---------------------------------------------------------------------------------------------- every listener

_DESCRIBED = {"200": answer("The OpenAPI document of this listener", DOCUMENT)}

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
        {"200": answer("The samples; none where metrics go to logs", TEXT, METRICS_TYPE)},
        [query("name[]", listed(TEXT), "Names of the samples wanted; all if none is given")],
    ),
)


# -------------------------------------------------------------------------------------------------- inference

INFERENCE: Sequence[Operation] = (
    Operation(
        "get /ping",
        "ping",
        "Whether all models have the workers they should have",
        {"200": answer("They have", STATUS), **errors(400), "500": answer("They have not", STATUS)},
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
        **status_answer("Registered"),
        "202": answer("Registered; its workers are starting", STATUS),
        "206": answer("Registered; not all workers are ready", STATUS),
        **errors(507),
    },
)
_LIST = listing("model", "listModels", "Lists the models, each in its default version")


def _of_model(path: str, *, prefix: str = "") -> Sequence[Operation]:
    """Lists the operations on one model, or on one of its versions."""
    return (
        Operation(
            f"get {path}",
            f"{prefix}describeModel",
            "Describes a model; the version all: every version of it",
            {
                "200": answer("One entry for each version", listed(MODEL_DESCRIPTION)),
                "default": answer("Status that the handler chose"),
                **EVERY,
                **errors(404, 408, 507),
            },
            [query("customized", with_default(FLAG, False), "Ask the handler too; it may choose the status")],
        ),
        Operation(
            f"put {path}",
            f"{prefix}setAutoScale",
            "Sets the number of workers",
            {
                **status_answer("Done"),
                "202": answer("Workers are starting or stopping", STATUS),
                "206": answer("Not all workers are ready", STATUS),
                **EVERY,
                **errors(404, 507),
            },
            [
                query("min_worker", with_default(WHOLE, 1), "Fewest workers; 0: none"),
                query("max_worker", WHOLE, "Most workers; as many as the fewest if not given"),
                query("number_gpu", WHOLE, "Ignored"),
                query("synchronous", with_default(FLAG, False), "Answer when it is done"),
                query("timeout", WHOLE, "Ignored"),
            ],
        ),
        Operation(
            f"delete {path}",
            f"{prefix}unregisterModel",
            "Unregisters a model version",
            {**status_answer("Unregistered"), **EVERY, **errors(404, 405, 408)},
        ),
    )


_ONE_MODEL: Sequence[Operation] = (
    *_of_model("/models/{model_name}"),
    *_of_model("/models/{model_name}/{model_version}", prefix="version_"),
    Operation(
        "put /models/{model_name}/{model_version}/set-default",
        "setDefault",
        "Makes a version the default one",
        {**status_answer(), **EVERY, **UNKNOWN},
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
