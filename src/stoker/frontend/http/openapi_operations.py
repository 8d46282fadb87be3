"""Lists the operations of each API for its OpenAPI document. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stoker import TORCHSERVE_VERSION
from stoker.frontend.http.openapi import (
    FLAG,
    JSON,
    TEXT,
    WHOLE,
    Json,
    Operation,
    answer,
    document,
    listed,
    members,
    parameter,
    with_default,
)
from stoker.frontend.http.openapi_schemas import DOCUMENT, ERROR, MODEL_DESCRIPTION, MODEL_LIST, STATUS

_MODEL_API_VERSION = "1.0.0"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MEANINGS = {
    "400": "A parameter is missing or wrong, or the token was not accepted",
    "403": "A web page of another site, or under another name, made the request",
    "404": "There is no such path, model or version",
    "405": "The method is not allowed, or the model API is switched off",
    "408": "It took too long",
    "409": "The model version is registered already",
    "500": "It failed",
    "503": "There is no worker, the queue is full, or the server stops",
    "507": "Memory or another resource ran out",
}
_TOO_LARGE = {"413": answer("The request is larger than max_request_size; the answer is empty")}


def _errors(*statuses: int) -> dict[str, Json]:
    return {str(status): answer(_MEANINGS[str(status)], ERROR) for status in statuses}


def _told(meaning: str = "What was done") -> dict[str, Json]:
    return {"200": answer(meaning, STATUS)}


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

_ANSWER_OF_HANDLER = {
    "200": answer("What the handler answered; it chooses the content type"),
    "default": answer("Status and body that the handler chose"),
}


def _prediction(path: str, id: str, *parameters: Json) -> Operation:
    return Operation(
        path=path,
        method="post",
        id=id,
        summary="Predicts with a model. Also by GET, PUT and DELETE",
        parameters=parameters,
        body={
            "description": "Input of the model, of any type; the fields of a form are inputs of their own",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        responses={**_ANSWER_OF_HANDLER, **_errors(400, 404, 408, 500, 503, 507), **_TOO_LARGE},
    )


INFERENCE: Sequence[Operation] = (
    Operation(
        path="/ping",
        method="get",
        id="ping",
        summary="Whether all models have the workers they should have",
        responses={
            "200": answer("They have", STATUS),
            **_errors(400),
            "500": answer("They have not", STATUS),
        },
    ),
    _prediction("/v1/models/{model_name}:predict", "kserve_v1_predictions", _MODEL),
    _prediction("/v2/models/{model_name}/infer", "kserve_v2_predictions", _MODEL),
    _prediction("/predictions/{model_name}", "predictions", _MODEL),
    _prediction("/predictions/{model_name}/{model_version}", "version_predictions", _MODEL, _VERSION),
)


def predictions_of_model(model: str) -> dict[str, Any]:
    """Describes a model's predictions, for OPTIONS on its prediction path.

    The first path is misspelt in TorchServe too, and its operation id is the model's name.
    """
    operations = (
        _prediction(f"/prediction/{model}", model),
        _prediction(f"/v1/models/{model}:predict", "kserve_v1_predictions"),
        _prediction(f"/v2/models/{model}/infer", "kserve_v2_predictions"),
    )
    return document(f"RESTful API for: {model}", _MODEL_API_VERSION, operations)


# ------------------------------------------------------------------------------------------------- management

_EVERY = _errors(400, 403, 500, 503)
_UNKNOWN = _errors(404)


def _query(name: str, schema: Json, meaning: str, *, required: bool = False) -> Json:
    return parameter("query", name, schema, meaning, required=required)


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

_REGISTER = Operation(
    path="/models",
    method="post",
    id="registerModel",
    summary="Registers a model. Parameters are in the query, or in a JSON body that takes its place",
    parameters=[_query(name, schema, meaning) for name, (schema, meaning) in _REGISTRATION.items()],
    body={
        "description": "The parameters as a JSON object",
        "content": {
            JSON: {
                "schema": members(
                    {name: {**schema, "description": meaning} for name, (schema, meaning) in _REGISTRATION.items()},
                    optional=[name for name in _REGISTRATION if name != "url"],
                )
            }
        },
    },
    responses={
        **_told("Registered"),
        "202": answer("Registered; its workers are starting", STATUS),
        "206": answer("Registered; not all workers are ready", STATUS),
        **_EVERY,
        **_errors(404, 405, 409, 507),
        **_TOO_LARGE,
    },
)

_LIST = Operation(
    path="/models",
    method="get",
    id="listModels",
    summary="Lists the models, each in its default version",
    parameters=[
        _query("limit", with_default(WHOLE, 100), "Most models listed, at most 100"),
        _query("next_page_token", with_default(WHOLE, 0), "nextPageToken of the page before"),
    ],
    responses={"200": answer("One page", MODEL_LIST), **_EVERY},
)


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
                _query("customized", with_default(FLAG, False), "Ask the handler too; it may choose the status"),
            ],
            responses={
                "200": answer("One entry for each version", listed(MODEL_DESCRIPTION)),
                "default": answer("Status that the handler chose"),
                **_EVERY,
                **_errors(404, 408, 507),
            },
        ),
        Operation(
            path=path,
            method="put",
            id=f"{prefix}setAutoScale",
            summary="Sets the number of workers",
            parameters=[
                *parameters,
                _query("min_worker", with_default(WHOLE, 1), "Fewest workers; 0: none"),
                _query("max_worker", WHOLE, "Most workers; as many as the fewest if not given"),
                _query("number_gpu", WHOLE, "Ignored"),
                _query("synchronous", with_default(FLAG, False), "Answer when it is done"),
                _query("timeout", WHOLE, "Ignored"),
            ],
            responses={
                **_told("Done"),
                "202": answer("Workers are starting or stopping", STATUS),
                "206": answer("Not all workers are ready", STATUS),
                **_EVERY,
                **_errors(404, 507),
            },
        ),
        Operation(
            path=path,
            method="delete",
            id=f"{prefix}unregisterModel",
            summary="Unregisters a model version",
            parameters=parameters,
            responses={**_told("Unregistered"), **_EVERY, **_errors(404, 405, 408)},
        ),
    )


def _set_default(path: str, *parameters: Json) -> Operation:
    return Operation(
        path=path,
        method="put",
        id="setDefault",
        summary="Makes a version the default one",
        parameters=parameters,
        responses={**_told(), **_EVERY, **_UNKNOWN},
    )


_ONE_MODEL: Sequence[Operation] = (
    *_of_model("/models/{model_name}", _MODEL),
    *_of_model("/models/{model_name}/{model_version}", _MODEL, _VERSION, prefix="version_"),
    _set_default("/models/{model_name}/{model_version}/set-default", _MODEL, _VERSION),
)

MANAGEMENT: Sequence[Operation] = (_LIST, _REGISTER, *_ONE_MODEL)


def management_of_model(model: str) -> dict[str, Any]:
    """Describes a model's management, for OPTIONS on its management path.

    As in TorchServe, only the title names the model.
    """
    return document(f"RESTful Management API for: {model}", TORCHSERVE_VERSION, _ONE_MODEL)


def of_listener(*, inference: bool, management: bool, metrics: bool) -> Sequence[Operation]:
    """Describes a listener with these APIs. As in TorchServe, one for metrics alone lists nothing else."""
    if metrics and not (inference or management):
        return METRICS
    return [
        DESCRIPTION[0],
        *(INFERENCE if inference else ()),
        *(MANAGEMENT if management else ()),
        DESCRIPTION[1],
        *(METRICS if metrics else ()),
    ]
