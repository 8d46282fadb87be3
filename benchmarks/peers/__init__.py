"""Other Python model servers, each with the same handler through the thinnest possible adapter. README.md says how."""

from __future__ import annotations

from benchmarks.peers.bentoml.adapter import BENTOML
from benchmarks.peers.litserve.adapter import LITSERVE
from benchmarks.peers.mlserver.adapter import MLSERVER, MLSERVER_RAW
from benchmarks.peers.mosec.adapter import MOSEC
from benchmarks.peers.ray_serve.adapter import RAY_SERVE

CONTENDERS = (LITSERVE, MLSERVER, MLSERVER_RAW, MOSEC, BENTOML, RAY_SERVE)
