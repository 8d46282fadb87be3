"""Contenders over REST, and stoker with metrics, access log and console on and off."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.workload import Workload
from stoker.bench.contender import LOOPBACK, Deployment, Wire, WireRequest
from stoker.bench.contenders import STOKER, InstalledStoker, TorchServe, api_of, start_torchserve
from stoker.bench.processes import Spawned
from stoker.bench.torchserve_api import TorchServeApi


class RestApi(TorchServeApi):
    """A `Running` whose port under load is the REST inference API. The payload is the unchanged body."""

    def __init__(self, spawned: Spawned, *, model: str, management_port: int, port: int) -> None:
        super().__init__(spawned, model=model, management_port=management_port)
        self._rest = f"{LOOPBACK}:{port}"

    @property
    def endpoint(self) -> str:
        return self._rest

    def request(self, payload: bytes, *, stream: bool = False) -> WireRequest:
        headers = (("Content-Type", "application/octet-stream"),)
        return WireRequest(path=f"/predictions/{self._model}", body=payload, headers=headers)

    def answer(self, body: bytes) -> bytes:
        return body


class _OverRest:
    wire: Wire = "http"

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.REST


class StokerRest(_OverRest, InstalledStoker):
    name = "stoker-rest"
    note = "REST /predictions, loggers at WARN"

    def start(self, deployment: Deployment) -> RestApi:
        return rest_api(start_torchserve(STOKER, rest_first(deployment)), deployment)


class TorchServeRest(_OverRest, TorchServe):
    """Uses the environment of the TorchServe measured over gRPC."""

    wire: Wire = "http"
    name = "torchserve-rest"
    note = "0.12.0 on Java 17, REST /predictions, loggers at WARN"
    home_of = TorchServe.name

    def start(self, deployment: Deployment) -> RestApi:
        return rest_api(self.launch(rest_first(deployment)), deployment)


def rest_first(deployment: Deployment) -> Deployment:
    """Returns the deployment with the port of REST under load, in exchange for that of gRPC."""
    management, other, *more = deployment.more_ports
    return replace(deployment, port=other, more_ports=(management, deployment.port, *more))


def rest_api(spawned: Spawned, deployment: Deployment) -> RestApi:
    name, management = deployment.model.name, deployment.more_ports[0]
    return RestApi(spawned, model=name, management_port=management, port=deployment.port)


# ---------------------------------------------------------------------------------------- metrics on and off


_ON = "metrics_mode=prometheus, scraped once a second, access log on, also on the console (a file)"
_OFF = "metrics_mode=off, no access log, console_log=server"


class ScrapedApi(TorchServeApi):
    metrics_url: str = ""


class StokerObserved(InstalledStoker):
    """``on``: with Prometheus metrics, scraped once a second, and a line per request in the access log and on the
    console. Else with none of these.
    """

    wire: Wire = "grpc"

    def __init__(self, *, on: bool) -> None:
        self.name = "stoker-observed" if on else "stoker-unobserved"
        self.note = _ON if on else _OFF
        self._on = on

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.METRICS

    def start(self, deployment: Deployment) -> TorchServeApi:
        measured = {"metrics_mode": "prometheus", "access_log": "true", "console_log": "all"}
        unmeasured = {"metrics_mode": "off", "access_log": "false", "console_log": "server"}
        extra = measured if self._on else unmeasured
        spawned = start_torchserve(STOKER, deployment, {"grpc_engine": "nghttp2", **extra}, quiet=False)
        if not self._on:
            return api_of(spawned, deployment)
        api = ScrapedApi(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])
        api.metrics_url = f"http://{LOOPBACK}:{deployment.more_ports[3]}/metrics"
        return api
