"""Defines what a worker needs from a cluster."""

from __future__ import annotations

from typing import NamedTuple

CPU, GPU, MEMORY = "CPU", "GPU", "memory"
"""The resources that Ray defines; the operator of the cluster defines all others."""


class RayNeeds(NamedTuple):
    """``resources``: names and amounts that each process of a worker needs, memory in bytes. ``spread``: place them on
    as many nodes as possible, rather than on few."""

    resources: tuple[tuple[str, float], ...]
    spread: bool

    @property
    def gpus(self) -> float:
        return dict(self.resources).get(GPU, 0.0)

    @property
    def cpus(self) -> float:
        return dict(self.resources).get(CPU, 0.0)
