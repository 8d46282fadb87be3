"""A typed client for stoker and TorchServe servers over gRPC, synchronous and asynchronous.

with Client() as client:
    client.register("densenet161.mar", initial_workers=1, synchronous=True)
    print(client.predict("densenet161", open("kitten.jpg", "rb").read()).text)
"""

from stoker.client.address import AddressError
from stoker.client.aio import AsyncClient
from stoker.client.endpoint import Api, Endpoint
from stoker.client.results import CallError, NodeTrace, Prediction, SequencePart, WorkflowPart, WorkflowPrediction
from stoker.client.sequence_calls import SequenceRequest
from stoker.client.sync import Client

__all__ = [
    "AddressError",
    "Api",
    "AsyncClient",
    "CallError",
    "Client",
    "Endpoint",
    "NodeTrace",
    "Prediction",
    "SequencePart",
    "SequenceRequest",
    "WorkflowPart",
    "WorkflowPrediction",
]
