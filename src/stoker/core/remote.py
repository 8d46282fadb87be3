"""Defines what a worker needs from a cluster, and where it was placed."""

from __future__ import annotations

from typing import NamedTuple

CPU, GPU, MEMORY = "CPU", "GPU", "memory"
"""Ray's own resources; all others are of the cluster's operator."""


class RayNeeds(NamedTuple):
    """``resources``: name and amount of what each process of a worker takes, memory in bytes. ``spread``: over as many
    nodes as there are, rather than few."""

    resources: tuple[tuple[str, float], ...]
    spread: bool

    @property
    def gpus(self) -> float:
        return dict(self.resources).get(GPU, 0.0)

    @property
    def cpus(self) -> float:
        return dict(self.resources).get(CPU, 0.0)
