"""Defines the actor that Ray starts on a node for each process of a worker: it describes the node and runs the agent.

Ray transfers only the name of this class: the node runs its own installation of stoker.
"""

from __future__ import annotations

import os
import platform
import socket
import threading
from contextlib import closing, suppress
from typing import Any

from stoker import __version__
from stoker.core.ranks import GLOO_INTERFACE

VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ONEAPI_DEVICE_SELECTOR")
"""Variables by which Ray shows devices to a process."""

_RELEASED_S = 10.0
"""Time for the server to notice that the worker is gone, and to release the actor."""

_OF_RAY = ("RAY_", "SPT_NOENV", "PYTHONBREAKPOINT")
"""Prefixes of the variables that Ray sets for its own processes."""


class AgentActor:
    def about(self) -> dict[str, Any]:
        """Returns the fields of `ipc.driver_messages.Node`, without the node's name."""
        import ray  # noqa: PLC0415 - nodes have it imported; the server never imports it

        address = ray.util.get_node_ip_address()
        return {
            "id": ray.get_runtime_context().get_node_id(),
            "address": address,
            "python": platform.python_version(),
            "stoker": __version__,
            "devices": {name: os.environ[name] for name in VISIBLE if name in os.environ},
            "port": _free_port(address),
            "interface": os.environ.get(GLOO_INTERFACE) or _interface_of(address),
        }

    def run(self, order: bytes, node: str) -> None:
        """Carries out the order; returns when the worker is gone. ``node``: this node's name in logs."""
        from stoker.node import agent  # noqa: PLC0415 - only once the server has compared the versions

        for name in [name for name in os.environ if name.startswith(_OF_RAY)]:
            del os.environ[name]
        _take_priority_of_node()
        try:
            agent.run(order, node=node)
        finally:
            _end_soon()


def _interface_of(address: str) -> str:
    import psutil  # noqa: PLC0415 - as ray

    found = psutil.net_if_addrs().items()
    return next((name for name, has in found if any(each.address == address for each in has)), "")


def _end_soon() -> None:
    """Ends this process soon, in case Ray does not: it forgets actors on a node that it believes dead."""
    timer = threading.Timer(_RELEASED_S, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _take_priority_of_node() -> None:
    """Restores the node's scheduling priority, because Ray lowers that of its workers (``nice`` 15)."""
    with suppress(OSError):  # only root may
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getppid()))


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
