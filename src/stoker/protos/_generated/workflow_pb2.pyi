from stoker.protos._generated import inference_pb2 as _inference_pb2
from stoker.protos._generated import management_pb2 as _management_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterWorkflowRequest(_message.Message):
    __slots__ = ("url", "workflow_name", "response_timeout", "startup_timeout", "s3_sse_kms", "synchronous")
    URL_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    STARTUP_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    S3_SSE_KMS_FIELD_NUMBER: _ClassVar[int]
    SYNCHRONOUS_FIELD_NUMBER: _ClassVar[int]
    url: str
    workflow_name: str
    response_timeout: int
    startup_timeout: int
    s3_sse_kms: bool
    synchronous: bool
    def __init__(self, url: _Optional[str] = ..., workflow_name: _Optional[str] = ..., response_timeout: _Optional[int] = ..., startup_timeout: _Optional[int] = ..., s3_sse_kms: _Optional[bool] = ..., synchronous: _Optional[bool] = ...) -> None: ...

class UnregisterWorkflowRequest(_message.Message):
    __slots__ = ("workflow_name",)
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    workflow_name: str
    def __init__(self, workflow_name: _Optional[str] = ...) -> None: ...

class DescribeWorkflowRequest(_message.Message):
    __slots__ = ("workflow_name",)
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    workflow_name: str
    def __init__(self, workflow_name: _Optional[str] = ...) -> None: ...

class ListWorkflowsRequest(_message.Message):
    __slots__ = ("limit", "next_page_token")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limit: int
    next_page_token: int
    def __init__(self, limit: _Optional[int] = ..., next_page_token: _Optional[int] = ...) -> None: ...

class WorkflowPredictRequest(_message.Message):
    __slots__ = ("workflow_name", "input", "nodes")
    class InputEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    workflow_name: str
    input: _containers.ScalarMap[str, bytes]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workflow_name: _Optional[str] = ..., input: _Optional[_Mapping[str, bytes]] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class WorkflowPredictResponse(_message.Message):
    __slots__ = ("outputs", "trace")
    class OutputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class TraceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: NodeTrace
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[NodeTrace, _Mapping]] = ...) -> None: ...
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.ScalarMap[str, bytes]
    trace: _containers.MessageMap[str, NodeTrace]
    def __init__(self, outputs: _Optional[_Mapping[str, bytes]] = ..., trace: _Optional[_Mapping[str, NodeTrace]] = ...) -> None: ...

class NodeTrace(_message.Message):
    __slots__ = ("attempts", "queue_us", "run_us")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    RUN_US_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    queue_us: int
    run_us: int
    def __init__(self, attempts: _Optional[int] = ..., queue_us: _Optional[int] = ..., run_us: _Optional[int] = ...) -> None: ...

class WorkflowPart(_message.Message):
    __slots__ = ("node", "data", "last", "status")
    NODE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    node: str
    data: bytes
    last: bool
    status: _inference_pb2.Status
    def __init__(self, node: _Optional[str] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ..., status: _Optional[_Union[_inference_pb2.Status, _Mapping]] = ...) -> None: ...
