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
    parameter,
    prediction,
)

_ANYTHING: Json = {"type": "object"}
_TENSORS = listed(members({"name": TEXT, "datatype": TEXT, "shape": listed({"type": "integer", "format": "int64"})}))
_MODEL = parameter("path", "model_name", TEXT, "Name of the model", required=True)
_VERSION = parameter("path", "model_version", TEXT, "Version of the model", required=True)
_OF_MODEL: Sequence[tuple[str, str, Sequence[Json]]] = (
    ("/v2/models/{model_name}", "v2_", (_MODEL,)),
    ("/v2/models/{model_name}/versions/{model_version}", "v2_version_", (_MODEL, _VERSION)),
)
"""Path, prefix of the ids, parameters: a model in its default version, or one of its versions."""

_READY = members({"name": TEXT, "ready": FLAG})
_STATISTICS = {"200": answer("Counts and times of each version", members({"model_stats": listed(_ANYTHING)}))}


def _get(path: str, id: str, summary: str, responses: Mapping[str, Json], *parameters: Json) -> Operation:
    return Operation(path=path, method="get", id=id, summary=summary, parameters=parameters, responses=responses)


HEALTH: Sequence[Operation] = (
    _get(
        "/v2/health/live",
        "v2_live",
        "Whether the server runs",
        {"200": answer("It does", members({"live": FLAG})), **errors(400, 403)},
    ),
    _get(
        "/v2/health/ready",
        "v2_ready",
        "Whether every model is ready",
        {
            "200": answer("They are", members({"ready": FLAG})),
            **errors(400, 403),
            "503": answer("Not all are, or the server stops", members({"ready": FLAG})),
        },
    ),
)

SERVER: Sequence[Operation] = (
    _get(
        "/v2",
        "v2_server",
        "Describes the server",
        {
            "200": answer(
                "Name, version and extensions",
                members({"name": TEXT, "version": TEXT, "extensions": listed(TEXT), "extenstion": listed(TEXT)}),
            ),
            **EVERY,
        },
    ),
    _get(
        "/v2/models",
        "v2_models",
        "Lists the models",
        {"200": answer("Names", members({"models": listed(TEXT)})), **EVERY},
    ),
    _get("/v2/models/stats", "v2_all_stats", "Statistics of all models", {**_STATISTICS, **EVERY}),
)


def _of_model(path: str, prefix: str, parameters: Sequence[Json]) -> Sequence[Operation]:
    metadata = members(
        {"name": TEXT, "versions": listed(TEXT), "platform": TEXT, "inputs": _TENSORS, "outputs": _TENSORS}
    )
    return (
        _get(
            path,
            f"{prefix}metadata",
            "Describes a model's tensors",
            {"200": answer("Inputs and outputs", metadata), **EVERY, **UNKNOWN},
            *parameters,
        ),
        _get(
            f"{path}/ready",
            f"{prefix}model_ready",
            "Whether a model is ready",
            {"200": answer("It is", _READY), **EVERY, **UNKNOWN, "503": answer("It is not, or the server stops")},
            *parameters,
        ),
        _get(
            f"{path}/config",
            f"{prefix}config",
            "Describes a model as a config of Triton",
            {"200": answer("The config", _ANYTHING), **EVERY, **UNKNOWN},
            *parameters,
        ),
        _get(
            f"{path}/stats", f"{prefix}stats", "Statistics of a model", {**_STATISTICS, **EVERY, **UNKNOWN}, *parameters
        ),
    )


MODELS: Sequence[Operation] = tuple(operation for row in _OF_MODEL for operation in _of_model(*row))

_ENTRY = members({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}, optional=["version", "reason"])


def _repository(path: str, id: str, summary: str, responses: Mapping[str, Json], body: Json, *given: Json) -> Operation:
    return Operation(
        path=f"/v2/repository{path}",
        method="post",
        id=id,
        summary=f"{summary}. On the inference port only with oip_repository_on_inference_port=true",
        parameters=given,
        body={"description": "May be left out", "content": {JSON: {"schema": body}}},
        responses={**responses, **EVERY, **errors(413)},
    )


REPOSITORY: Sequence[Operation] = (
    _repository(
        "/index",
        "v2_repository_index",
        "Lists the models that are served, and archives of the model store that are not",
        {"200": answer("One entry for each", listed(_ENTRY))},
        members({"ready": FLAG}, optional=["ready"]),
    ),
    _repository(
        "/models/{model_name}/load",
        "v2_repository_load",
        "Registers an archive of the model store by its name, and waits for its workers",
        {"200": answer("It is served"), **errors(404, 405, 408, 409, 507)},
        members({"parameters": _ANYTHING}, optional=["parameters"]),
        _MODEL,
    ),
    _repository(
        "/models/{model_name}/unload",
        "v2_repository_unload",
        "Unregisters all versions of a model",
        {"200": answer("It is not served any more"), **errors(404, 405, 408)},
        _ANYTHING,
        _MODEL,
    ),
)

ROUTES: Sequence[Operation] = (*SERVER, *MODELS, *REPOSITORY)
"""Those that need a token."""

EVERY_LISTENER: Sequence[Operation] = (*HEALTH, *ROUTES)

INFERENCE: Sequence[Operation] = (
    *EVERY_LISTENER,
    prediction("/v2/models/{model_name}/versions/{model_version}/infer", "v2_version_infer", _MODEL, _VERSION),
)
"""Besides the path of TorchServe (`openapi_operations`)."""
