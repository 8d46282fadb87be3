"""Contenders for workloads about listeners: both servers over gRPC with TLS, and stoker with other settings."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rest import rest_api, rest_first
from benchmarks.workload import SPOKEN, Workload
from stoker.bench.contender import LOOPBACK, Deployment, Wire
from stoker.bench.contenders import STOKER, InstalledStoker, Stoker, TorchServe, api_of, start_torchserve
from stoker.bench.processes import Spawned
from stoker.bench.torchserve_api import TorchServeApi
from stoker.frontend.certificates import self_signed


class TlsApi(TorchServeApi):
    """Uses TLS on its management port too, so it is not scaled."""

    def __init__(self, spawned: Spawned, deployment: Deployment) -> None:
        super().__init__(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])
        self.roots = roots(deployment)


def roots(deployment: Deployment) -> bytes:
    return (deployment.scratch / "server.pem").read_bytes()


def with_certificate(scratch: Path) -> dict[str, str]:
    """Returns the settings for both servers, and makes the files: ECDSA over P-256, self-signed."""
    identity, certificate, key = self_signed([]), scratch / "server.pem", scratch / "server.key"
    certificate.write_bytes(identity.chain)
    key.write_bytes(identity.key)
    return {"enable_grpc_ssl": "true", "private_key_file": str(key), "certificate_file": str(certificate)}


class _OverTls:
    wire: Wire = "grpcs"

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.TLS


class StokerTls(_OverTls, InstalledStoker):
    name = "stoker-tls"
    note = "gRPC with TLS (enable_grpc_ssl), loggers at WARN"

    def start(self, deployment: Deployment) -> TlsApi:
        return TlsApi(start_torchserve(STOKER, deployment, with_certificate(deployment.scratch)), deployment)


class TorchServeTls(_OverTls, TorchServe):
    """Uses the environment of the TorchServe measured without TLS."""

    wire: Wire = "grpcs"
    name = "torchserve-tls"
    note = "0.12.0 on Java 17, gRPC with TLS (enable_grpc_ssl), loggers at WARN"
    home_of = TorchServe.name

    def start(self, deployment: Deployment) -> TlsApi:
        return TlsApi(self.launch(deployment, with_certificate(deployment.scratch)), deployment)


class StokerWith(Stoker):
    """Runs stoker with settings of its own, for a workload about them, over loopback."""

    def __init__(self, name: str, workload: Workload, **settings: str) -> None:
        super().__init__("nghttp2")
        self.name = name
        said = ", ".join(f"{key}={value}" for key, value in settings.items())
        self.note = f"gRPC, {said}, loggers at WARN"
        self._workload = workload
        self._settings = settings

    def offers(self, workload: Workload) -> bool:
        return workload is self._workload

    def start(self, deployment: Deployment) -> TorchServeApi:
        return api_of(start_torchserve(STOKER, deployment, self._settings), deployment)


def chained() -> StokerWith:
    """Serves a workflow: it is the ``model`` of the deployment."""
    return StokerWith("stoker-workflow", Workload.WORKFLOW, load_models="", models="{}", load_workflows="all")


def public() -> StokerWith:
    return StokerWith("stoker-public", Workload.PUBLIC, grpc_inference_address="0.0.0.0")


CROWD_SETTINGS = {"max_connections": "11000"}
"""Room for one client more than the crowd."""


class Crowded(InstalledStoker):
    """A server that a crowd of clients occupies, over one ``wire``."""

    def __init__(self, wire: Wire) -> None:
        self.wire: Wire = wire
        self.name = f"stoker-crowded-{wire}"
        self.note = f"{SPOKEN[wire]}, max_connections={CROWD_SETTINGS['max_connections']}, loggers at WARN"

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.CROWD

    def start(self, deployment: Deployment) -> TorchServeApi:
        rest, secure = self.wire.startswith("http"), self.wire.endswith("s")
        extra = {**CROWD_SETTINGS, **(with_certificate(deployment.scratch) if secure else {})}
        if rest and secure:
            extra["inference_address"] = f"https://{LOOPBACK}:{deployment.port}"
        spawned = start_torchserve(STOKER, rest_first(deployment) if rest else deployment, extra)
        api = rest_api(spawned, deployment) if rest else api_of(spawned, deployment)
        api.roots = roots(deployment) if secure else None
        return api


def crowded() -> list[Crowded]:
    return [Crowded("grpc"), Crowded("grpcs"), Crowded("http"), Crowded("https")]
