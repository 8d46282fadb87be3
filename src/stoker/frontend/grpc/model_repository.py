"""Methods of the open inference service about models: their config, their statistics, the repository."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from stoker.core.ports import RepositoryEntry, TensorPort
from stoker.errors import BadRequest
from stoker.frontend.grpc.call import Call
from stoker.frontend.grpc.operations import LongOperations, parse
from stoker.frontend.open_inference import described
from stoker.frontend.open_inference.repository import Repository
from stoker.protos import grpc_predict_v2_pb2 as pb


class ModelMethods:
    """Implements methods under the service's names for them, from which their paths are derived."""

    def __init__(self, models: TensorPort) -> None:
        self._models = models

    def ModelConfig(self, call: Call) -> None:
        request = parse(pb.ModelConfigRequest, call)
        if not request.name:
            raise BadRequest("Parameter name is required.")
        config = described.config(self._models.model_spec(request.name, request.version))
        call.reply(pb.ModelConfigResponse(config=config).SerializeToString())

    def ModelStatistics(self, call: Call) -> None:
        request = parse(pb.ModelStatisticsRequest, call)
        offset = time.time() - time.monotonic()
        found = described.statistics(self._models, request.name, request.version, clock_offset_s=offset)
        call.reply(pb.ModelStatisticsResponse(**found).SerializeToString())


class RepositoryMethods:
    """Implements methods under the service's names for them, from which their paths are derived."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._operations = LongOperations()

    def RepositoryIndex(self, call: Call) -> None:
        request = parse(pb.RepositoryIndexRequest, call)
        self._operations.run(call, self._repository.index(only_ready=request.ready), _index)

    def RepositoryModelLoad(self, call: Call) -> None:
        request = parse(pb.RepositoryModelLoadRequest, call)
        model = _model_of(request)
        answer = pb.RepositoryModelLoadResponse(model_name=model, is_loaded=True).SerializeToString()
        self._operations.run(call, self._repository.load(model, request.parameters), lambda _: answer)

    def RepositoryModelUnload(self, call: Call) -> None:
        request = parse(pb.RepositoryModelUnloadRequest, call)
        model = _model_of(request)
        answer = pb.RepositoryModelUnloadResponse(model_name=model, is_unloaded=True).SerializeToString()
        self._operations.run(call, self._repository.unload(model), lambda _: answer)


def _model_of(request: Any) -> str:
    """Returns the model's name: clients of KServe send it in the first field, those of Triton in the second."""
    return str(request.model_name or request.repository_name)


def _index(entries: Sequence[RepositoryEntry]) -> bytes:
    models = [
        pb.RepositoryIndexResponse.ModelIndex(name=name, version=version, state=state, reason=reason)
        for name, version, state, reason in entries
    ]
    return pb.RepositoryIndexResponse(models=models).SerializeToString()
