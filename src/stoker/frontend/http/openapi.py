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
TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer", "format": "int32"}
FLAG: Json = {"type": "boolean"}


_IN_PATH = {
    "model_name": "Name of the model",
    "model_version": "Version of the model",
    "workflow_name": "Name of the workflow",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """``at``: method and path, whose names in braces are parameters. ``responses``: by status, or ``default``."""

    at: str
    id: str
    summary: str
    responses: Mapping[str, Json]
    query: Sequence[Json] = ()
    body: Json | None = None
    deprecated: bool = False

    @property
    def method(self) -> str:
        return self.at.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.at.partition(" ")[2]

    def render(self) -> dict[str, Any]:
        in_path = [name for name in _IN_PATH if f"{{{name}}}" in self.path]
        parameters = [*(_parameter("path", name, TEXT, _IN_PATH[name], required=True) for name in in_path), *self.query]
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


# ----------------------------------------------------------------------------------------------- the pieces


def _parameter(place: str, name: str, schema: Json, meaning: str, *, required: bool) -> Json:
    return {"in": place, "name": name, "required": required, "description": meaning, "schema": schema}


def with_default(schema: Json, value: object) -> Json:
    return {**schema, "default": value}


def members(properties: Mapping[str, Json], *, optional: Sequence[str] = ()) -> Json:
    """Describes an object with every property except the optional ones."""
    required = [name for name in properties if name not in optional]
    described: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    return {**described, "required": required} if required else described


def listed(items: Json) -> Json:
    return {"type": "array", "items": items}


def answer(meaning: str, schema: Json | None = None, media_type: str = JSON) -> Json:
    """Describes an answer. Without a schema: a body of any kind, or none."""
    content = {} if schema is None else {"content": {media_type: {"schema": schema}}}
    return {"description": meaning, **content}


STATUS: Json = members({"status": TEXT})
ERROR: Json = members({"code": WHOLE, "type": TEXT, "message": TEXT})
DOCUMENT: Json = {"type": "object", "required": ["openapi", "info", "paths"]}

WORKFLOW_DESCRIPTION: Json = members(
    {
        "workflowName": TEXT,
        "workflowUrl": TEXT,
        "minWorkers": WHOLE,
        "maxWorkers": WHOLE,
        "batchSize": WHOLE,
        "maxBatchDelay": WHOLE,
        "workflowDag": TEXT,
    }
)

_NUMBER: Json = {"type": "number"}
_SIZE: Json = {"type": "integer", "format": "int64"}

WORKER: Json = members(
    {
        "id": TEXT,
        "startTime": TEXT,
        "status": {"type": "string", "enum": ["READY", "UNLOADING"]},
        "memoryUsage": _SIZE,
        "pid": WHOLE,
        "gpu": FLAG,
        "gpuUsage": TEXT,
        "state": TEXT,
        "failure": TEXT,
    },
    optional=["startTime", "state", "failure"],
)

MODEL_DESCRIPTION: Json = members(
    {
        "modelName": TEXT,
        "modelVersion": TEXT,
        "modelUrl": TEXT,
        "runtime": TEXT,
        "minWorkers": WHOLE,
        "maxWorkers": WHOLE,
        "batchSize": WHOLE,
        "maxBatchDelay": WHOLE,
        "responseTimeout": _NUMBER,
        "startupTimeout": _NUMBER,
        "maxRetryTimeoutInSec": _NUMBER,
        "clientTimeoutInMills": WHOLE,
        "parallelType": TEXT,
        "parallelLevel": WHOLE,
        "deviceType": TEXT,
        "deviceIds": listed(WHOLE),
        "continuousBatching": FLAG,
        "useJobTicket": FLAG,
        "useVenv": FLAG,
        "stateful": FLAG,
        "sequenceMaxIdleMSec": _SIZE,
        "sequenceTimeoutMSec": _SIZE,
        "maxNumSequence": WHOLE,
        "maxSequenceJobQueueSize": WHOLE,
        "loadedAtStartup": FLAG,
        "workers": listed(WORKER),
        "jobQueueStatus": members({"remainingCapacity": WHOLE, "pendingRequests": WHOLE}),
        "autoscale": members(
            {"targetWaitMs": WHOLE, "unloadAfterMs": WHOLE, "workers": WHOLE, "reason": TEXT, "since": TEXT},
            optional=["unloadAfterMs"],
        ),
        "customizedMetadata": {"type": "object"},
    },
    optional=["modelUrl", "deviceIds", "autoscale", "customizedMetadata"],  # functions of workflows have no url
)


_MEANINGS = {
    "400": "A parameter is missing or wrong, or the token was not accepted",
    "403": "A web page of another site, or under another name, made the request",
    "404": "There is no such path, model, version or workflow",
    "405": "The method is not allowed, or the model API is switched off",
    "408": "It took too long",
    "409": "The name is taken: it is registered already",
    "413": "The request is larger than max_request_size",
    "500": "It failed",
    "503": "There is no worker, the queue is full, or the server stops",
    "504": "A node of the workflow took too long",
    "507": "Memory or another resource ran out",
}
TOO_LARGE = {"413": answer("The request is larger than max_request_size; the answer is empty")}


def errors(*statuses: int) -> dict[str, Json]:
    return {str(status): answer(_MEANINGS[str(status)], ERROR) for status in statuses}


def status_answer(meaning: str = "What was done") -> dict[str, Json]:
    return {"200": answer(meaning, STATUS)}


_ANSWER_OF_HANDLER = {
    "200": answer("What the handler answered; it chooses the content type"),
    "default": answer("Status and body that the handler chose"),
}


BODY: Json = {
    "description": "Input of the model, of any type; the fields of a form are inputs of their own",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}


def prediction(path: str, id: str) -> Operation:
    return Operation(
        f"post {path}",
        id,
        "Predicts with a model. Also by GET, PUT and DELETE",
        {**_ANSWER_OF_HANDLER, **errors(400, 404, 408, 500, 503, 507), **TOO_LARGE},
        body=BODY,
    )


EVERY = errors(400, 403, 500, 503)
UNKNOWN = errors(404)


def query(name: str, schema: Json, meaning: str) -> Json:
    return _parameter("query", name, schema, meaning, required=False)


Parameters = Mapping[str, tuple[Json, str]]
"""Schema and meaning by name; ``url`` is the one that is required."""


def registration(path: str, id: str, summary: str, parameters: Parameters, responses: Mapping[str, Json]) -> Operation:
    described = {name: {**schema, "description": meaning} for name, (schema, meaning) in parameters.items()}
    schema = members(described, optional=[name for name in parameters if name != "url"])
    return Operation(
        f"post {path}",
        id,
        f"{summary}. Parameters are in the query, or in a JSON body that takes its place",
        {**responses, **EVERY, **errors(404, 405, 409), **TOO_LARGE},
        [query(name, schema, meaning) for name, (schema, meaning) in parameters.items()],
        {"description": "The parameters as a JSON object", "content": {JSON: {"schema": schema}}},
    )


def listing(what: str, id: str, summary: str) -> Operation:
    """Describes a list of models or workflows, page by page."""
    page = members(
        {"nextPageToken": TEXT, f"{what}s": listed(members({f"{what}Name": TEXT, f"{what}Url": TEXT}))},
        optional=["nextPageToken"],
    )
    return Operation(
        f"get /{what}s",
        id,
        summary,
        {"200": answer("One page", page), **EVERY},
        [
            query("limit", with_default(WHOLE, 100), f"Most {what}s listed, at most 100"),
            query("next_page_token", with_default(WHOLE, 0), "nextPageToken of the page before"),
        ],
    )
