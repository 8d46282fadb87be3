"""Decides which side of the service envelope a node gets.  PURE.

An envelope translates what clients send and get, so it belongs around the workflow, not around each of its nodes.
"""

from __future__ import annotations

from stoker.workflows.graph import Node


def envelope_of(node: Node, envelope: str | None) -> str | None:
    """Returns the node's own envelope: ``NAME``, ``NAME:input`` for a start, ``NAME:output`` for a leaf, or None."""
    starts, ends = not node.predecessors, not node.successors
    if envelope is None or not (starts or ends):
        return None
    if starts and ends:
        return envelope
    return f"{envelope}:input" if starts else f"{envelope}:output"
