"""Describes the server and its models in the open inference protocol's terms: documents for JSON and protobuf. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stoker import TORCHSERVE_VERSION
from stoker.core.measures import Histogram, ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.ports import TensorPort
from stoker.core.tensors import TensorSpec
from stoker.tensors.datatypes import BYTES

SERVER = "Torchserve"
VERSION = TORCHSERVE_VERSION
EXTENSIONS: Sequence[str] = (
    "kserve",
    "kubeflow",
    "binary_tensor_data",
    "model_repository",
    "statistics",
    "parameters",
    "sequence",
    "sequence(string_id)",
)


def metadata(models: TensorPort, model: str, version: str | None) -> dict[str, Any]:
    """Describes a model's tensors. Raises ModelNotFound, ModelVersionNotFound."""
    interface = models.model_spec(model, version).tensors
    return {
        "name": model,
        "versions": [version] if version else list(models.versions(model)),
        "platform": interface.platform,
        "inputs": [_tensor(spec) for spec in interface.inputs],
        "outputs": [_tensor(spec) for spec in interface.outputs],
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def config(spec: ModelSpec) -> dict[str, Any]:
    """Describes a model in the form of a Triton config, whose dimensions leave out the batch dimension."""
    interface = spec.tensors
    batched = interface.rows and interface.batched
    return {
        "name": spec.key.name,
        "platform": interface.platform,
        "backend": "python",
        "max_batch_size": spec.batch_size if batched else 0,
        "input": [_dims(each, batched=batched) for each in interface.inputs],
        "output": [_dims(each, batched=batched) for each in interface.outputs],
        "model_transaction_policy": {"decoupled": False},
    }


def _dims(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    kind = "STRING" if spec.datatype == BYTES else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": list(spec.shape[1:] if batched else spec.shape)}


_NONE = {"count": 0, "ns": 0}


def statistics(models: TensorPort, model: str, version: str | None, *, clock_offset_s: float) -> dict[str, Any]:
    """Counts for one version, all versions of a model (empty version), or all models (empty name). ``clock_offset_s``:
    added to the monotonic clock, gives seconds since 1970.

    Raises: ModelNotFound, ModelVersionNotFound
    """
    return {
        "model_stats": [
            {"name": key.name, "version": key.version, **_counted(counters, clock_offset_s)}
            for key, counters in models.counters(model, version)
        ]
    }


def _counted(counters: ModelCounters | None, clock_offset_s: float) -> dict[str, Any]:
    counted = counters or ModelCounters()
    sizes, ended_at = counted.batch_size, counted.last_batch_at
    return {
        "last_inference": round((ended_at + clock_offset_s) * 1e3) if ended_at else 0,
        "inference_count": int(sizes.total),
        "execution_count": sizes.count,
        "inference_stats": {
            "success": _duration(counted.latency),
            "fail": {"count": counted.failed, "ns": 0},
            "queue": _duration(counted.queue_wait),
            "compute_input": _NONE,
            "compute_infer": _duration(counted.handler_time),
            "compute_output": _NONE,
        },
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _NONE,
                "compute_infer": {"count": totals.handled, "ns": round(totals.handler_s * 1e9)},
                "compute_output": _NONE,
            }
            for size, totals in sorted(counted.batches.items())
        ],
    }


def _duration(seconds: Histogram) -> dict[str, int]:
    return {"count": seconds.count, "ns": round(seconds.total * 1e9)}
