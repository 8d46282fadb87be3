"""Builds the answer of a workflow's description, ready for JSON, with members in TorchServe's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stoker.workflows.workflow import Workflow


def describe(workflow: Workflow, url: str, *, with_nodes: bool = False) -> dict[str, Any]:
    """Uses the specification's values for all nodes. ``with_nodes``: adds each node, and whether it is ready."""
    specification = workflow.specification
    serving = specification.serving
    delay_s = serving.max_batch_delay_s
    described: dict[str, Any] = {
        "workflowName": workflow.name,
        "workflowUrl": url,
        "minWorkers": serving.min_workers,
        "maxWorkers": serving.max_workers,
        "batchSize": -1 if serving.batch_size is None else serving.batch_size,
        "maxBatchDelay": -100 if delay_s is None else round(delay_s * 1000),
        "workflowDag": dag_text(specification.dag),
    }
    return {**described, "nodes": list(_nodes(workflow))} if with_nodes else described


def dag_text(dag: Mapping[str, Sequence[str]]) -> str:
    """Writes the edges as TorchServe does: ``{pre=[m1, m2], m1=[agg]}``."""
    return "{" + ", ".join(f"{node}=[{', '.join(after)}]" for node, after in dag.items()) + "}"


def _nodes(workflow: Workflow) -> Iterator[dict[str, Any]]:
    for name, node in workflow.specification.graph.nodes.items():
        model = workflow.models[name]
        url = {} if node.is_function else {"url": model.entry.spec.url}
        yield {
            "name": name,
            "kind": "function" if node.is_function else "model",
            "modelName": model.key.name,
            **url,
            "workers": model.entry.ready_workers(),
            "ready": model.ready,
        }
