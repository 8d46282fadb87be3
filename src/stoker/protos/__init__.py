"""The messages and stubs of all services, ready to import: ``from stoker.protos import inference_pb2``.

Invariant: nothing here touches protobuf's default pool. A program may import its own stubs, made from TorchServe's
files of the same names, beside these.
"""

from stoker.protos._generated import (
    grpc_predict_v2_pb2,
    inference_pb2,
    management_pb2,
    open_inference_grpc_pb2,
    workflow_pb2,
)
from stoker.protos.stubs import (
    GRPCInferenceServiceStub,
    InferenceAPIsServiceStub,
    ManagementAPIsServiceStub,
    WorkflowAPIsServiceStub,
    WorkflowInferenceAPIsServiceStub,
)

open_inference_pb2 = open_inference_grpc_pb2

__all__ = [
    "GRPCInferenceServiceStub",
    "InferenceAPIsServiceStub",
    "ManagementAPIsServiceStub",
    "WorkflowAPIsServiceStub",
    "WorkflowInferenceAPIsServiceStub",
    "grpc_predict_v2_pb2",
    "inference_pb2",
    "management_pb2",
    "open_inference_grpc_pb2",
    "open_inference_pb2",
    "workflow_pb2",
]
