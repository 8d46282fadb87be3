"""The contenders that run archives: stoker with each engine, and TorchServe 0.12.0."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from stoker import __version__
from stoker.bench.contender import LOOPBACK, CannotInstall, Deployment, Wire, thread_environment
from stoker.bench.processes import Spawned, spawn
from stoker.bench.torchserve_api import TorchServeApi
from stoker.bench.venvs import make_venv, package_version

STOKER = (sys.executable, "-m", "stoker.cli.torchserve")
TORCHSERVE_PACKAGES = ("torch==2.13.0", "torchserve==0.12.0", "torch-model-archiver", "pyyaml", "psutil", "packaging")


class InstalledStoker:
    """Shared by the contenders that run stoker from the environment of the bench itself."""

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        """Does nothing: scripts/install has done it."""

    def version(self, home: Path) -> str:
        return __version__


class Stoker(InstalledStoker):
    """Runs stoker with one of its gRPC engines."""

    wire: Wire = "grpc"

    def __init__(self, engine: str) -> None:
        self.name = f"stoker-{engine}"
        self.note = f"grpc_engine={engine}, loggers at WARN"
        self._engine = engine

    def start(self, deployment: Deployment) -> TorchServeApi:
        return api_of(start_torchserve(STOKER, deployment, {"grpc_engine": self._engine}), deployment)


class TorchServe:
    """Runs TorchServe with its loggers at WARN, as its performance guide recommends."""

    wire: Wire = "grpc"
    name = "torchserve"
    note = "0.12.0 on Java 17, gRPC, loggers at WARN"

    def __init__(self, executable: Path | None = None) -> None:
        self._given = executable

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        if shutil.which("java") is None:
            raise CannotInstall("torchserve: no java on PATH (Debian: apt-get install openjdk-17-jre-headless)")
        if self._given is None:
            make_venv(home, [*TORCHSERVE_PACKAGES, *requirements])
        elif not self._given.exists():
            raise CannotInstall(f"torchserve: there is no {self._given}")

    def version(self, home: Path) -> str:
        return package_version(self._executable(home).parent / "python", "torchserve")

    def start(self, deployment: Deployment) -> TorchServeApi:
        return api_of(self.launch(deployment), deployment)

    def launch(self, deployment: Deployment, extra: Mapping[str, str] | None = None) -> Spawned:
        command = [str(self._executable(deployment.home))]
        return start_torchserve(command, deployment, extra)

    def _executable(self, home: Path) -> Path:
        return self._given or home / "bin" / "torchserve"


def quiet_log_config() -> Path:
    return Path(str(resources.files("stoker.bench") / "torchserve-log4j2.xml"))


def start_torchserve(
    command: Sequence[str],
    deployment: Deployment,
    extra: Mapping[str, str] | None = None,
    *,
    quiet: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Spawned:
    """Starts a server with TorchServe's command line on ``deployment``. ``quiet``: its loggers at WARN."""
    store, properties = deployment.scratch / "store", deployment.scratch / "config.properties"
    store.mkdir(parents=True, exist_ok=True)
    (store / deployment.model.archive.name).symlink_to(deployment.model.archive.resolve())
    properties.write_text(
        "".join(f"{key}={value}\n" for key, value in {**settings(deployment), **(extra or {})}.items())
    )
    flags = ["--start", "--foreground", "--ncs", "--model-store", str(store), "--ts-config", str(properties)]
    flags += ["--log-config", str(quiet_log_config())] if quiet else []
    logs = str(deployment.scratch / "logs")
    variables = {**thread_environment(deployment.threads), "LOG_LOCATION": logs, "METRICS_LOCATION": logs}
    endpoint = f"{LOOPBACK}:{deployment.port}"
    whole = {**variables, **(environment or {})}
    return spawn([*command, *flags], scratch=deployment.scratch, endpoint=endpoint, environment=whole)


def api_of(spawned: Spawned, deployment: Deployment) -> TorchServeApi:
    return TorchServeApi(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])


def settings(deployment: Deployment) -> dict[str, str]:
    """Returns the content of config.properties, the same for both servers."""
    management, rest, rest_management, metrics = deployment.more_ports[:4]
    return {
        "inference_address": f"http://{LOOPBACK}:{rest}",
        "management_address": f"http://{LOOPBACK}:{rest_management}",
        "metrics_address": f"http://{LOOPBACK}:{metrics}",
        "grpc_inference_port": str(deployment.port),
        "grpc_management_port": str(management),
        "disable_token_authorization": "true",
        "enable_model_api": "true",
        "max_request_size": str(deployment.max_message_bytes),
        "max_response_size": str(deployment.max_message_bytes),
        "job_queue_size": "1000",  # jobs that a finished load leaves behind must not get the next refused
        "load_models": deployment.model.archive.name,
        "models": _models(deployment),
    }


def _models(deployment: Deployment) -> str:
    """Returns batch size, delay and workers of the one model, as JSON on one line."""
    version = str(_model_section(deployment).get("modelVersion", "1.0"))
    fields = {
        "defaultVersion": "true",
        "marName": f'"{deployment.model.archive.name}"',
        "minWorkers": deployment.workers,
        "maxWorkers": max(deployment.workers, 8),
        "batchSize": deployment.batch_size,
        "maxBatchDelay": deployment.max_batch_delay_ms,
        "responseTimeout": deployment.response_timeout_s,
    }
    text = ",".join(f'"{key}":{value}' for key, value in fields.items())
    return f'{{"{deployment.model.name}":{{"{version}":{{{text}}}}}}}'


def _model_section(deployment: Deployment) -> Mapping[str, object]:
    section = deployment.model.manifest.get("model")
    return section if isinstance(section, Mapping) else {}
