"""All contenders of the suite, in the order of the tables."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from benchmarks.bombed import StokerBombed
from benchmarks.continuous import StokerContinuous
from benchmarks.listeners import StokerTls, TorchServeTls, chained, crowded, public
from benchmarks.placed import placed
from benchmarks.rest import StokerObserved, StokerRest, TorchServeRest
from benchmarks.tensors import StokerOverProtocol
from benchmarks.workload import Contender, Workload
from benchmarks.yardsticks.bare_server import BareNgh2, BareServer
from stoker.bench.contenders import Stoker, TorchServe

MAIN = ("stoker-nghttp2", "stoker-grpcio", "torchserve", "bare-grpc-aio")
"""These run everything that they offer, the others only what is `for_peers` (see `points.Point`)."""

COMPARED = ("stoker-nghttp2", "torchserve", "bare-grpc-aio")
"""Those that the figures compare on every workload."""

STANDARD = frozenset(Workload) - {
    Workload.REST,
    Workload.METRICS,
    Workload.TLS,
    Workload.CROWD,
    Workload.WORKFLOW,
    Workload.TENSORS,
    Workload.BOMBED,
}
"""Workloads for servers over plain gRPC with the usual settings; the others have contenders of their own."""


class _OnStandard:
    def offers(self, workload: Workload) -> bool:
        return workload in STANDARD


class StandardStoker(_OnStandard, Stoker):
    pass


class StandardTorchServe(_OnStandard, TorchServe):
    pass


def everyone(torchserve: Path | None = None) -> list[Contender]:
    """Returns all contenders. ``torchserve``: an existing executable; None: the suite makes a venv."""
    main: list[Contender] = [
        StandardStoker("nghttp2"),
        StandardStoker("grpcio"),
        StandardTorchServe(torchserve),
        BareServer(),
        BareNgh2(),
    ]
    rest: list[Contender] = [StokerRest(), TorchServeRest(torchserve)]
    observed: list[Contender] = [StokerObserved(on=True), StokerObserved(on=False)]
    listeners: list[Contender] = [StokerTls(), TorchServeTls(torchserve), public(), chained()]
    attacked: list[Contender] = [*crowded(), StokerBombed()]
    protocols: list[Contender] = [StokerOverProtocol(tensors=True), StokerOverProtocol(tensors=False)]
    return [*main, StokerContinuous(), *protocols, *rest, *observed, *listeners, *attacked, *placed(), *peers()]


def peers() -> list[Contender]:
    """Returns nothing as long as the folder does not exist."""
    if importlib.util.find_spec("benchmarks.peers") is None:
        return []
    found: list[Contender] = list(importlib.import_module("benchmarks.peers").CONTENDERS)
    return found
