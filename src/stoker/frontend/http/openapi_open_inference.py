"""Lists the paths of the open inference protocol: what routes are made of and what OpenAPI documents say. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.frontend.http.openapi import (
    EVERY,
    FLAG,
    JSON,
    TEXT,
    UNKNOWN,
    Json,
    Operation,
    answer,
    errors,
    listed,
    members,
    prediction,
)

_ANYTHING: Json = {"type": "object"}
_TENSORS = listed(members({"name": TEXT, "datatype": TEXT, "shape": listed({"type": "integer", "format": "int64"})}))
_READY = members({"name": TEXT, "ready": FLAG})
_STATISTICS = {"200": answer("Counts and times of each version", members({"model_stats": listed(_ANYTHING)}))}


HEALTH: Sequence[Operation] = (
    Operation(
        "get /v2/health/live",
        "v2_live",
        "Whether the server runs",
        {"200": answer("It does", members({"live": FLAG})), **errors(400, 403)},
    ),
    Operation(
        "get /v2/health/ready",
        "v2_ready",
        "Whether every model is ready",
        {
            "200": answer("They are", members({"ready": FLAG})),
            **errors(400, 403),
            "503": answer("Not all are, or the server stops", members({"ready": FLAG})),
        },
    ),
)

_SERVER = members({"name": TEXT, "version": TEXT, "extensions": listed(TEXT), "extenstion": listed(TEXT)})

SERVER: Sequence[Operation] = (
    Operation(
        "get /v2",
        "v2_server",
        "Describes the server",
        {"200": answer("Name, version and extensions", _SERVER), **EVERY},
    ),
    Operation(
        "get /v2/models",
        "v2_models",
        "Lists the models",
        {"200": answer("Names", members({"models": listed(TEXT)})), **EVERY},
    ),
    Operation("get /v2/models/stats", "v2_all_stats", "Statistics of all models", {**_STATISTICS, **EVERY}),
)

_METADATA = members({"name": TEXT, "versions": listed(TEXT), "platform": TEXT, "inputs": _TENSORS, "outputs": _TENSORS})
_OF_MODEL: Sequence[tuple[str, str, str, Mapping[str, Json]]] = (
    ("", "metadata", "Describes a model's tensors", {"200": answer("Inputs and outputs", _METADATA)}),
    (
        "/ready",
        "model_ready",
        "Whether a model is ready",
        {"200": answer("It is", _READY), "503": answer("It is not, or the server stops")},
    ),
    ("/config", "config", "Describes a model as a config of Triton", {"200": answer("The config", _ANYTHING)}),
    ("/stats", "stats", "Statistics of a model", _STATISTICS),
)

MODELS: Sequence[Operation] = tuple(
    Operation(f"get /v2/models/{model}{end}", f"{prefix}{id}", summary, {**EVERY, **UNKNOWN, **responses})
    for model, prefix in (("{model_name}", "v2_"), ("{model_name}/versions/{model_version}", "v2_version_"))
    for end, id, summary, responses in _OF_MODEL
)

_ENTRY = members({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}, optional=["version", "reason"])


def _repository(path: str, id: str, summary: str, responses: Mapping[str, Json], body: Json) -> Operation:
    return Operation(
        f"post /v2/repository{path}",
        f"v2_repository_{id}",
        f"{summary}. On the inference port only with oip_repository_on_inference_port=true",
        {**responses, **EVERY, **errors(413)},
        body={"description": "May be left out", "content": {JSON: {"schema": body}}},
    )


REPOSITORY: Sequence[Operation] = (
    _repository(
        "/index",
        "index",
        "Lists the models that are served, and archives of the model store that are not",
        {"200": answer("One entry for each", listed(_ENTRY))},
        members({"ready": FLAG}, optional=["ready"]),
    ),
    _repository(
        "/models/{model_name}/load",
        "load",
        "Registers an archive of the model store by its name, and waits for its workers",
        {"200": answer("It is served"), **errors(404, 405, 408, 409, 507)},
        members({"parameters": _ANYTHING}, optional=["parameters"]),
    ),
    _repository(
        "/models/{model_name}/unload",
        "unload",
        "Unregisters all versions of a model",
        {"200": answer("It is not served any more"), **errors(404, 405, 408)},
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
"""Operations besides the path of TorchServe (`openapi_operations`)."""
