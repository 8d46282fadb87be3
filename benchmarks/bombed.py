"""Measures how long a neighbour's small calls take while one client sends bombs (`bombs`) without a pause."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from benchmarks import bombs, open_loop
from benchmarks.background import Reports, in_background
from benchmarks.listeners import StokerWith
from benchmarks.points import OVERHEAD_S, Open, Turn
from benchmarks.workload import Workload
from benchmarks.workspace import Options
from stoker.bench.contender import Deployment, Wire, WireRequest
from stoker.bench.contenders import STOKER, settings, start_torchserve
from stoker.bench.loads import LoadResult
from stoker.bench.measure import Measured
from stoker.bench.torchserve_api import TorchServeApi

PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
STRETCH = 5
"""Factor on the duration: a p99 needs a thousand calls."""
FIRST_S = 30.0
"""Longest wait for the first bomb to be refused."""


class BombedApi(TorchServeApi):
    """``rest``: the endpoint of the REST API."""

    rest = ""

    def target(self, wire: Wire) -> tuple[str, str]:
        """Returns endpoint and path of a method that unpacks its requests."""
        return (self.rest, f"/v2/models/{self._model}/infer") if wire == "http" else (self.endpoint, PREDICTIONS)


class StokerBombed(StokerWith):
    def __init__(self) -> None:
        super().__init__("stoker-bombed", Workload.BOMBED)
        self.note = "gRPC, loggers at WARN"

    def start(self, deployment: Deployment) -> BombedApi:
        spawned = start_torchserve(STOKER, deployment)
        api = BombedApi(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])
        api.rest = settings(deployment)["inference_address"].removeprefix("http://")
        return api


@dataclass(frozen=True, kw_only=True)
class Neighbour(Open):
    """Sends small calls at random times. ``bombs``: the protocol over which bombs come meanwhile; None: none come."""

    bombs: Wire | None
    for_peers: bool = True

    def seconds(self, options: Options) -> float:
        return STRETCH * options.duration_s + OVERHEAD_S + 3.0

    def measure(self, turn: Turn) -> Measured:
        if self.bombs is None:
            return super().measure(turn)
        assert isinstance(turn.running, BombedApi)
        endpoint, path = turn.running.target(self.bombs)
        with in_background("bombs", bombs.Plan(endpoint=endpoint, wire=self.bombs, path=path)) as reports:
            if not _begun(reports):
                return Measured(problem=f"no bomb was refused: {' '.join(reports.other_lines)[-200:]}")
            measured = super().measure(turn)
        said = reports.last or {}
        problem = f"bombs: {' '.join(reports.other_lines)[-200:]}" if reports.other_lines else None
        more = {"bombs_per_s": said["refused"] / said["seconds"]}
        return replace(measured, more=more, problem=measured.problem or problem)

    def generate(self, turn: Turn, request: WireRequest, expected: bytes) -> LoadResult:
        duration_s = STRETCH * turn.options.duration_s
        return open_loop.run(
            turn.running.endpoint, request, expected, rate=self.rate, duration_s=duration_s, seed=turn.round
        )


def _begun(reports: Reports) -> bool:
    until = time.monotonic() + FIRST_S
    while reports.last is None and not reports.other_lines and time.monotonic() < until:
        time.sleep(0.05)
    return reports.last is not None
