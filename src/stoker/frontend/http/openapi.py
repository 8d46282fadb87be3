"""Writes OpenAPI 3.0.1 documents from tables of operations. PURE.

Titles, paths and operation ids are TorchServe's; statuses, parameters and schemas are this server's, and a test that
follows the document keeps them true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

JSON = "application/json"
STRING: Json = {"type": "string"}
INT32: Json = {"type": "integer", "format": "int32"}
INT64: Json = {"type": "integer", "format": "int64"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}

_IN_PATH = {
    "model_name": "Name of the model",
    "model_version": "Version of the model",
    "workflow_name": "Name of the workflow",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """``route``: method and path; names in braces are parameters. ``responses``: by status, or ``default``."""

    route: str
    id: str
    summary: str
    responses: Mapping[str, Json]
    query: Sequence[Json] = ()
    body: Json | None = None
    deprecated: bool = False

    @property
    def method(self) -> str:
        return self.route.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.route.partition(" ")[2]

    def render(self) -> dict[str, Any]:
        in_path = [name for name in _IN_PATH if f"{{{name}}}" in self.path]
        parameters = [
            *(_parameter("path", name, STRING, _IN_PATH[name], required=True) for name in in_path),
            *self.query,
        ]
        rendered = {
            "description": self.summary,
            "operationId": self.id,
            "deprecated": self.deprecated,
            "parameters": parameters,
            "requestBody": self.body,
        }
        return {**{name: value for name, value in rendered.items() if value}, "responses": self.responses}


def document(title: str, version: str, operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation.render()
    return {
        "openapi": "3.0.1",
        "info": {
            "title": title,
            "description": "TorchServe's APIs, served by stoker",
            "version": version,
        },
        "paths": paths,
    }


# ------------------------------------------------------------------------------------ schemas and responses


def _parameter(location: str, name: str, schema: Json, meaning: str, *, required: bool) -> Json:
    return {"in": location, "name": name, "required": required, "description": meaning, "schema": schema}


def with_default(schema: Json, value: object) -> Json:
    return {**schema, "default": value}


def object_of(properties: Mapping[str, Json], *, optional: Sequence[str] = ()) -> Json:
    """Describes an object in which all properties but the ``optional`` ones are required."""
    required = [name for name in properties if name not in optional]
    described: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    return {**described, "required": required} if required else described


def array_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def response(meaning: str, schema: Json | None = None, media_type: str = JSON) -> Json:
    """Describes a response. Without a schema: a body of any kind, or none."""
    content = {} if schema is None else {"content": {media_type: {"schema": schema}}}
    return {"description": meaning, **content}


STATUS: Json = object_of({"status": STRING})
ERROR: Json = object_of({"code": INT32, "type": STRING, "message": STRING})
OPENAPI_DOCUMENT: Json = {"type": "object", "required": ["openapi", "info", "paths"]}

WORKFLOW_DESCRIPTION: Json = object_of(
    {
        "workflowName": STRING,
        "workflowUrl": STRING,
        "minWorkers": INT32,
        "maxWorkers": INT32,
        "batchSize": INT32,
        "maxBatchDelay": INT32,
        "workflowDag": STRING,
    }
)

WORKER: Json = object_of(
    {
        "id": STRING,
        "startTime": STRING,
        "status": {"type": "string", "enum": ["READY", "UNLOADING"]},
        "memoryUsage": INT64,
        "pid": INT32,
        "gpu": BOOLEAN,
        "gpuUsage": STRING,
        "state": STRING,
        "failure": STRING,
    },
    optional=["startTime", "state", "failure"],
)

MODEL_DESCRIPTION: Json = object_of(
    {
        "modelName": STRING,
        "modelVersion": STRING,
        "modelUrl": STRING,
        "runtime": STRING,
        "minWorkers": INT32,
        "maxWorkers": INT32,
        "batchSize": INT32,
        "maxBatchDelay": INT32,
        "responseTimeout": NUMBER,
        "startupTimeout": NUMBER,
        "maxRetryTimeoutInSec": NUMBER,
        "clientTimeoutInMills": INT32,
        "parallelType": STRING,
        "parallelLevel": INT32,
        "deviceType": STRING,
        "deviceIds": array_of(INT32),
        "continuousBatching": BOOLEAN,
        "useJobTicket": BOOLEAN,
        "useVenv": BOOLEAN,
        "stateful": BOOLEAN,
        "sequenceMaxIdleMSec": INT64,
        "sequenceTimeoutMSec": INT64,
        "maxNumSequence": INT32,
        "maxSequenceJobQueueSize": INT32,
        "loadedAtStartup": BOOLEAN,
        "workers": array_of(WORKER),
        "jobQueueStatus": object_of({"remainingCapacity": INT32, "pendingRequests": INT32}),
        "autoscale": object_of(
            {"targetWaitMs": INT32, "unloadAfterMs": INT32, "workers": INT32, "reason": STRING, "since": STRING},
            optional=["unloadAfterMs"],
        ),
        "customizedMetadata": {"type": "object"},
    },
    optional=["modelUrl", "deviceIds", "autoscale", "customizedMetadata"],  # functions of workflows have no url
)


_ERROR_MEANINGS = {
    "400": "A parameter is missing or wrong, or the token was rejected",
    "403": "The request came from a web page of another site, or names a host that is not allowed",
    "404": "No such path, model, version or workflow",
    "405": "The method is not allowed, or the model API is disabled",
    "408": "The operation timed out",
    "409": "The name is already registered",
    "413": "The request is larger than max_request_size",
    "500": "The operation failed",
    "503": "No worker is available, the queue is full, or the server is stopping",
    "504": "A node of the workflow timed out",
    "507": "Memory or another resource ran out",
}
TOO_LARGE = {"413": response("The request is larger than max_request_size; the body is empty")}


def errors(*statuses: int) -> dict[str, Json]:
    return {str(status): response(_ERROR_MEANINGS[str(status)], ERROR) for status in statuses}


def status_response(meaning: str = "What was done") -> dict[str, Json]:
    return {"200": response(meaning, STATUS)}


_HANDLER_RESPONSES = {
    "200": response("The handler's answer, with the content type that it chose"),
    "default": response("Status and body that the handler chose"),
}


ANY_BODY: Json = {
    "description": "Input of the model, of any type; each field of a form is an input",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}


def prediction(path: str, id: str) -> Operation:
    return Operation(
        f"post {path}",
        id,
        "Predicts with a model; GET, PUT and DELETE do the same",
        {**_HANDLER_RESPONSES, **errors(400, 404, 408, 500, 503, 507), **TOO_LARGE},
        body=ANY_BODY,
    )


COMMON_ERRORS = errors(400, 403, 500, 503)
NOT_FOUND = errors(404)


def query(name: str, schema: Json, meaning: str) -> Json:
    return _parameter("query", name, schema, meaning, required=False)


Parameters = Mapping[str, tuple[Json, str]]
"""Schema and meaning by name; only ``url`` is required."""


def registration(path: str, id: str, summary: str, parameters: Parameters, responses: Mapping[str, Json]) -> Operation:
    described = {name: {**schema, "description": meaning} for name, (schema, meaning) in parameters.items()}
    schema = object_of(described, optional=[name for name in parameters if name != "url"])
    return Operation(
        f"post {path}",
        id,
        f"{summary}. Parameters are read from the query, or from a JSON body, which replaces it",
        {**responses, **COMMON_ERRORS, **errors(404, 405, 409), **TOO_LARGE},
        [query(name, schema, meaning) for name, (schema, meaning) in parameters.items()],
        {"description": "The parameters as a JSON object", "content": {JSON: {"schema": schema}}},
    )


def listing(what: str, id: str, summary: str) -> Operation:
    """Describes a list of models or workflows, page by page."""
    page = object_of(
        {"nextPageToken": STRING, f"{what}s": array_of(object_of({f"{what}Name": STRING, f"{what}Url": STRING}))},
        optional=["nextPageToken"],
    )
    return Operation(
        f"get /{what}s",
        id,
        summary,
        {"200": response("One page", page), **COMMON_ERRORS},
        [
            query("limit", with_default(INT32, 100), f"Most {what}s to list, up to 100"),
            query("next_page_token", with_default(INT32, 0), "nextPageToken of the previous page"),
        ],
    )
