"""TorchServe's worker object, as tests of handlers use it: it loads a model into a `Service`.

It serves nothing: workers are started by the server, which speaks a protocol of its own with them.
Users import it from `ts.model_service_worker`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from stoker.worker import loading, metrics
from stoker.worker.model_loader import ModelLoaderFactory
from stoker.worker.service import Service

MAX_FAILURE_THRESHOLD = 5
SOCKET_ACCEPT_TIMEOUT = 30.0
DEBUG = False
BENCHMARK = os.getenv("TS_BENCHMARK") in ("True", "true", "TRUE")
LOCAL_RANK = int(os.getenv("LOCAL_RANK", "0"))
WORLD_SIZE = int(os.getenv("WORLD_SIZE", "0"))
WORLD_RANK = int(os.getenv("RANK", "0"))
LOCAL_WORLD_SIZE = int(os.getenv("LOCAL_WORLD_SIZE", "0"))

NO_SERVER = (
    "Workers are started by the server, over a protocol of their own: start torchserve. To call a handler in a test, "
    "use load_model() and Service.predict()."
)
_OUT_OF_MEMORY = None, "System out of memory", 507

Loaded = tuple[Service | None, str, int]


class TorchModelServiceWorker:
    """``s_type``: unix, with ``s_name``, or tcp, with ``port_num``; both are checked and not used."""

    def __init__(
        self,
        s_type: str | None = None,
        s_name: str | None = None,
        host_addr: str | None = None,
        port_num: int | None = None,
        metrics_config: str | None = None,
        async_comm: bool = False,
    ) -> None:
        self.sock_type = s_type
        self.sock_name = s_name if s_type == "unix" else host_addr or "127.0.0.1"
        self.port: int | str | None = -1 if s_type == "unix" else port_num
        if s_type not in ("unix", "tcp"):
            raise ValueError("Incomplete data provided")
        if s_type == "unix" and s_name is None:
            raise ValueError("Wrong arguments passed. No socket name given.")
        if s_type == "tcp" and port_num is None:
            raise ValueError("Wrong arguments passed. No socket port given.")
        self.metrics_cache = metrics.new_cache("", config_file=metrics_config)

    def load_model(self, load_model_request: Mapping[str, Any]) -> Loaded:
        """Returns the service, a text and a number. The request: modelPath, modelName, handler, and, if given, gpu,
        batchSize, envelope and limitMaxImagePixels; texts may be bytes."""
        request = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in load_model_request.items()
        }
        name, gpu, rows = request["modelName"], request.get("gpu"), request.get("batchSize")
        self.metrics_cache.model_name = name
        try:
            service = ModelLoaderFactory.get_model_loader().load(
                name,
                request["modelPath"],
                request.get("handler") or None,
                None if gpu is None else int(gpu),
                None if rows is None else int(rows),
                request.get("envelope") or None,
                bool(request.get("limitMaxImagePixels", True)),
                self.metrics_cache,
            )
        except (MemoryError, RuntimeError) as error:
            if loading.is_out_of_memory(error):
                return _OUT_OF_MEMORY
            raise
        return service, f"loaded model {name}", 200

    def handle_connection(self, cl_socket: Any) -> NoReturn:
        raise NotImplementedError(NO_SERVER)

    def run_server(self) -> NoReturn:
        raise NotImplementedError(NO_SERVER)
