"""Runs one worker on a node for a server elsewhere: starts it, reports on it, and leaves nothing behind."""

from __future__ import annotations


def run(order: bytes, *, node: str) -> None:
    """Returns when the worker is gone. ``node``: how messages name this node, such as ``gpu-3 (10.0.0.7)``.

    Never raises for what goes wrong with the worker: the server learns of it over the border.
    """
    raise NotImplementedError
