"""What operations of several APIs share in their OpenAPI documents: errors, sentences, predictions. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.frontend.http.openapi import JSON, WHOLE, Json, Operation, answer, members, parameter, with_default
from stoker.frontend.http.openapi_schemas import ERROR, STATUS

_MEANINGS = {
    "400": "A parameter is missing or wrong, or the token was not accepted",
    "403": "A web page of another site, or under another name, made the request",
    "404": "There is no such path, model, version or workflow",
    "405": "The method is not allowed, or the model API is switched off",
    "408": "It took too long",
    "409": "The name is taken: it is registered already",
    "500": "It failed",
    "503": "There is no worker, the queue is full, or the server stops",
    "504": "A node of the workflow took too long",
    "507": "Memory or another resource ran out",
}
TOO_LARGE = {"413": answer("The request is larger than max_request_size; the answer is empty")}


def errors(*statuses: int) -> dict[str, Json]:
    return {str(status): answer(_MEANINGS[str(status)], ERROR) for status in statuses}


def told(meaning: str = "What was done") -> dict[str, Json]:
    return {"200": answer(meaning, STATUS)}


_ANSWER_OF_HANDLER = {
    "200": answer("What the handler answered; it chooses the content type"),
    "default": answer("Status and body that the handler chose"),
}


BODY: Json = {
    "description": "Input of the model, of any type; the fields of a form are inputs of their own",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}


def prediction(path: str, id: str, *parameters: Json) -> Operation:
    return Operation(
        path=path,
        method="post",
        id=id,
        summary="Predicts with a model. Also by GET, PUT and DELETE",
        parameters=parameters,
        body=BODY,
        responses={**_ANSWER_OF_HANDLER, **errors(400, 404, 408, 500, 503, 507), **TOO_LARGE},
    )


EVERY = errors(400, 403, 500, 503)
UNKNOWN = errors(404)


def query(name: str, schema: Json, meaning: str, *, required: bool = False) -> Json:
    return parameter("query", name, schema, meaning, required=required)


Parameters = Mapping[str, tuple[Json, str]]
"""Schema and meaning by name; ``url`` is the one that is required."""


def registration(path: str, id: str, summary: str, parameters: Parameters, responses: Mapping[str, Json]) -> Operation:
    described = {name: {**schema, "description": meaning} for name, (schema, meaning) in parameters.items()}
    schema = members(described, optional=[name for name in parameters if name != "url"])
    return Operation(
        path=path,
        method="post",
        id=id,
        summary=f"{summary}. Parameters are in the query, or in a JSON body that takes its place",
        parameters=[query(name, schema, meaning) for name, (schema, meaning) in parameters.items()],
        body={"description": "The parameters as a JSON object", "content": {JSON: {"schema": schema}}},
        responses={**responses, **EVERY, **errors(404, 405, 409), **TOO_LARGE},
    )


def listing(path: str, id: str, summary: str, what: str, page: Json) -> Operation:
    """Describes a list, page by page. ``what``: its entries."""
    return Operation(
        path=path,
        method="get",
        id=id,
        summary=summary,
        parameters=[
            query("limit", with_default(WHOLE, 100), f"Most {what} listed, at most 100"),
            query("next_page_token", with_default(WHOLE, 0), "nextPageToken of the page before"),
        ],
        responses={"200": answer("One page", page), **EVERY},
    )
