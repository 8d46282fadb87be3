"""Lists the operations on workflows for the OpenAPI documents. PURE.

TorchServe serves these paths and describes none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from stoker.frontend.http.openapi import (
    FLAG,
    TEXT,
    WHOLE,
    Json,
    Operation,
    answer,
    listed,
    parameter,
    with_default,
)
from stoker.frontend.http.openapi_parts import BODY, EVERY, TOO_LARGE, UNKNOWN, errors, listing, registration, told
from stoker.frontend.http.openapi_schemas import WORKFLOW_DESCRIPTION, WORKFLOW_LIST

_WORKFLOW = parameter("path", "workflow_name", TEXT, "Name of the workflow", required=True)

WORKFLOW_PREDICTION = Operation(
    path="/wfpredict/{workflow_name}",
    method="post",
    id="workflowPredictions",
    summary="Predicts with a workflow. Also by any other method",
    parameters=[_WORKFLOW],
    body=BODY,
    responses={
        "200": answer("The output of the only leaf as it is, or a JSON object of all leaves"),
        "default": answer("A node failed with the status that its handler chose"),
        **errors(400, 404, 500, 503, 504, 507),
        **TOO_LARGE,
    },
)

_REGISTRATION: dict[str, tuple[Json, str]] = {
    "url": (TEXT, "Name of an archive in the workflow store, or an allowed URL"),
    "workflow_name": (TEXT, "Name to serve it under; the archive's if not given"),
    "response_timeout": (WHOLE, "Seconds for one batch of a node; -1: what its archive or the settings say"),
    "startup_timeout": (WHOLE, "Seconds for the start of a node's worker; -1: what its archive or the settings say"),
    "s3_sse_kms": (with_default(FLAG, False), "Sign the download for S3"),
    "synchronous": (with_default(FLAG, True), "Answer when the workers of all nodes are ready"),
}

WORKFLOW_MANAGEMENT: Sequence[Operation] = (
    listing("/workflows", "listWorkflows", "Lists the workflows", "workflows", WORKFLOW_LIST),
    registration(
        "/workflows",
        "registerWorkflow",
        "Registers a workflow and a model for each node, or nothing",
        _REGISTRATION,
        told("Registered"),
    ),
    Operation(
        path="/workflows/{workflow_name}",
        method="get",
        id="describeWorkflow",
        summary="Describes a workflow",
        parameters=[_WORKFLOW],
        responses={"200": answer("The workflow", listed(WORKFLOW_DESCRIPTION)), **EVERY, **UNKNOWN},
    ),
    Operation(
        path="/workflows/{workflow_name}",
        method="delete",
        id="unregisterWorkflow",
        summary="Unregisters a workflow and the models of its nodes",
        parameters=[_WORKFLOW],
        responses={**told("Unregistered"), **EVERY, **errors(404, 405)},
    ),
)
