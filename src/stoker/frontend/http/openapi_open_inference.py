"""Lists the operations of the open inference protocol, for routes and for OpenAPI documents. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.frontend.http.openapi import (
    BOOLEAN,
    COMMON_ERRORS,
    INT64,
    JSON,
    NOT_FOUND,
    STRING,
    Json,
    Operation,
    array_of,
    errors,
    object_of,
    prediction,
    response,
)

_ANYTHING: Json = {"type": "object"}
_TENSORS = array_of(object_of({"name": STRING, "datatype": STRING, "shape": array_of(INT64)}))
_READY = object_of({"name": STRING, "ready": BOOLEAN})
_STATISTICS = {"200": response("Counts and times of each version", object_of({"model_stats": array_of(_ANYTHING)}))}


HEALTH: Sequence[Operation] = (
    Operation(
        "get /v2/health/live",
        "v2_live",
        "Whether the server is live",
        {"200": response("The server is live", object_of({"live": BOOLEAN})), **errors(400, 403)},
    ),
    Operation(
        "get /v2/health/ready",
        "v2_ready",
        "Whether every model is ready",
        {
            "200": response("Every model is ready", object_of({"ready": BOOLEAN})),
            **errors(400, 403),
            "503": response("A model is not ready, or the server is stopping", object_of({"ready": BOOLEAN})),
        },
    ),
)

_SERVER = object_of({"name": STRING, "version": STRING, "extensions": array_of(STRING), "extenstion": array_of(STRING)})

SERVER: Sequence[Operation] = (
    Operation(
        "get /v2",
        "v2_server",
        "Describes the server",
        {"200": response("Name, version and extensions", _SERVER), **COMMON_ERRORS},
    ),
    Operation(
        "get /v2/models",
        "v2_models",
        "Lists the models",
        {"200": response("Names", object_of({"models": array_of(STRING)})), **COMMON_ERRORS},
    ),
    Operation("get /v2/models/stats", "v2_all_stats", "Statistics of all models", {**_STATISTICS, **COMMON_ERRORS}),
)

_METADATA = object_of(
    {"name": STRING, "versions": array_of(STRING), "platform": STRING, "inputs": _TENSORS, "outputs": _TENSORS}
)
_ON_MODEL: Sequence[tuple[str, str, str, Mapping[str, Json]]] = (
    ("", "metadata", "Describes a model's tensors", {"200": response("Inputs and outputs", _METADATA)}),
    (
        "/ready",
        "model_ready",
        "Whether a model is ready",
        {
            "200": response("The model is ready", _READY),
            "503": response("The model is not ready, or the server is stopping"),
        },
    ),
    (
        "/config",
        "config",
        "Describes a model in the form of Triton's model config",
        {"200": response("The config", _ANYTHING)},
    ),
    ("/stats", "stats", "Statistics of a model", _STATISTICS),
)

MODELS: Sequence[Operation] = tuple(
    Operation(f"get /v2/models/{model}{end}", f"{prefix}{id}", summary, {**COMMON_ERRORS, **NOT_FOUND, **responses})
    for model, prefix in (("{model_name}", "v2_"), ("{model_name}/versions/{model_version}", "v2_version_"))
    for end, id, summary, responses in _ON_MODEL
)

_ENTRY = object_of(
    {"name": STRING, "version": STRING, "state": STRING, "reason": STRING}, optional=["version", "reason"]
)


def _repository(path: str, id: str, summary: str, responses: Mapping[str, Json], body: Json) -> Operation:
    return Operation(
        f"post /v2/repository{path}",
        f"v2_repository_{id}",
        f"{summary}. On the inference port only with oip_repository_on_inference_port=true",
        {**responses, **COMMON_ERRORS, **errors(413)},
        body={"description": "Optional", "content": {JSON: {"schema": body}}},
    )


REPOSITORY: Sequence[Operation] = (
    _repository(
        "/index",
        "index",
        "Lists the models that are served, and the archives in the model store that are not",
        {"200": response("An entry for each", array_of(_ENTRY))},
        object_of({"ready": BOOLEAN}, optional=["ready"]),
    ),
    _repository(
        "/models/{model_name}/load",
        "load",
        "Registers an archive from the model store by its name, and waits for its workers",
        {"200": response("The model is served"), **errors(404, 405, 408, 409, 507)},
        object_of({"parameters": _ANYTHING}, optional=["parameters"]),
    ),
    _repository(
        "/models/{model_name}/unload",
        "unload",
        "Unregisters all versions of a model",
        {"200": response("The model is no longer served"), **errors(404, 405, 408)},
        _ANYTHING,
    ),
)

ROUTES: Sequence[Operation] = (*SERVER, *MODELS, *REPOSITORY)
"""Operations that need a token."""

EVERY_LISTENER: Sequence[Operation] = (*HEALTH, *ROUTES)

INFERENCE: Sequence[Operation] = (
    *EVERY_LISTENER,
    prediction("/v2/models/{model_name}/versions/{model_version}/infer", "v2_version_infer"),
)
"""Operations besides the prediction path that TorchServe has too (`openapi_operations`)."""
