"""What operations of several APIs share in their OpenAPI documents: errors, sentences, predictions. PURE."""

from __future__ import annotations

from stoker.frontend.http.openapi import Json, Operation, answer, parameter
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
