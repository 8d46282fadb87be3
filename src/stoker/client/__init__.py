"""A typed client for stoker and TorchServe servers over gRPC, synchronous and asynchronous.

with Client() as client:
    client.register("densenet161.mar", initial_workers=1, synchronous=True)
    print(client.predict("densenet161", open("kitten.jpg", "rb").read()).text)

Imports gRPC once a name is used that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stoker.client.address import AddressError as AddressError
    from stoker.client.aio import AsyncClient as AsyncClient
    from stoker.client.endpoint import Api as Api
    from stoker.client.endpoint import Endpoint as Endpoint
    from stoker.client.results import CallError as CallError
    from stoker.client.results import NodeTrace as NodeTrace
    from stoker.client.results import Prediction as Prediction
    from stoker.client.results import SequencePart as SequencePart
    from stoker.client.results import WorkflowPart as WorkflowPart
    from stoker.client.results import WorkflowPrediction as WorkflowPrediction
    from stoker.client.sequence_calls import SequenceRequest as SequenceRequest
    from stoker.client.sync import Client as Client

_MODULES = {
    "AddressError": "address",
    "Api": "endpoint",
    "AsyncClient": "aio",
    "CallError": "results",
    "Client": "sync",
    "Endpoint": "endpoint",
    "NodeTrace": "results",
    "Prediction": "results",
    "SequencePart": "results",
    "SequenceRequest": "sequence_calls",
    "WorkflowPart": "results",
    "WorkflowPrediction": "results",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
