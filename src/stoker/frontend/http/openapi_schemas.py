"""Schemas of the server's answers. PURE."""

from __future__ import annotations

from stoker.frontend.http.openapi import FLAG, TEXT, WHOLE, Json, listed, members

STATUS: Json = members({"status": TEXT})
ERROR: Json = members({"code": WHOLE, "type": TEXT, "message": TEXT})
DOCUMENT: Json = {"type": "object", "required": ["openapi", "info", "paths"]}

MODEL_LIST: Json = members(
    {"nextPageToken": TEXT, "models": listed(members({"modelName": TEXT, "modelUrl": TEXT}))},
    optional=["nextPageToken"],
)

WORKFLOW_LIST: Json = members(
    {"nextPageToken": TEXT, "workflows": listed(members({"workflowName": TEXT, "workflowUrl": TEXT}))},
    optional=["nextPageToken"],
)

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
