"""Writes OpenAPI 3.0.1 documents from tables of operations. PURE.

Titles, paths and operation ids are TorchServe's; statuses, parameters and schemas are this server's, and a test that
follows the document keeps them true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

JSON = "application/json"
TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer", "format": "int32"}
FLAG: Json = {"type": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. ``responses``: by status, as text or ``default``."""

    path: str
    method: str
    id: str
    summary: str
    parameters: Sequence[Json] = ()
    body: Json | None = None
    responses: Mapping[str, Json] = field(default_factory=dict)
    deprecated: bool = False

    def render(self) -> dict[str, Any]:
        rendered: dict[str, Any] = {"description": self.summary, "operationId": self.id}
        if self.deprecated:
            rendered["deprecated"] = True
        if self.parameters:
            rendered["parameters"] = [dict(one) for one in self.parameters]
        if self.body is not None:
            rendered["requestBody"] = dict(self.body)
        return {**rendered, "responses": {status: dict(one) for status, one in self.responses.items()}}


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


def parameter(place: str, name: str, schema: Json, meaning: str, *, required: bool = False) -> Json:
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
