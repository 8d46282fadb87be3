"""What `tritonclient.http` sees of the server: one JSON line a case. The argument: where things are."""

from __future__ import annotations

from typing import Any

import numpy as np
import tritonclient.http as triton
from reporting import PLACE, say
from triton_errors import error_of

CLIENT = triton.InferenceServerClient(PLACE["rest"], connection_timeout=60, network_timeout=60)
ARRAYS: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], dtype=np.uint8),
    "UINT64": np.array([[0, 2**63 + 5]], dtype=np.uint64),
    "INT64": np.array([[-(2**63), 1]], dtype=np.int64),
    "FP16": np.array([[0.5, -1.5]], dtype=np.float16),
    "FP32": np.array([[0.5, np.nan, np.inf]], dtype=np.float32),
    "FP64": np.array([[0.1, -np.inf]], dtype=np.float64),
    "BYTES": np.array([[b"a", b"", "é".encode()]], dtype=np.object_),
}


def tensor(name: str, array: Any, datatype: str, *, binary: bool = True) -> Any:
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def same(array: Any, back: Any) -> bool:
    if array.dtype == np.object_:
        texts = [value if isinstance(value, bytes) else str(value).encode() for value in back.ravel()]
        return texts == list(array.ravel()) and array.shape == back.shape
    return bool(np.array_equal(array, back, equal_nan=array.dtype.kind == "f") and array.dtype == back.dtype)


def every_datatype() -> dict[str, list[bool]]:
    """Binary both ways, JSON back, and JSON both ways where the client can."""
    found = {}
    for datatype, array in ARRAYS.items():
        back = CLIENT.infer("echo", [tensor("x", array, datatype)]).as_numpy("output")
        plain = [triton.InferRequestedOutput("output", binary_data=False)]
        json_back = CLIENT.infer("echo", [tensor("x", array, datatype)], outputs=plain).as_numpy("output")
        found[datatype] = [same(array, back), same(array, json_back)]
        if datatype not in ("FP16", "FP32", "FP64"):
            sent = tensor("x", array, datatype, binary=False)
            found[datatype].append(same(array, CLIENT.infer("echo", [sent], outputs=plain).as_numpy("output")))
    return found


def binary_bytes() -> bool:
    array = np.array([[b"a\x00b", b"\xff\xfe"]], dtype=np.object_)
    return same(array, CLIENT.infer("echo", [tensor("x", array, "BYTES")]).as_numpy("output"))


def compressed() -> list[float]:
    array = np.ones((1, 1000), dtype=np.float32)
    return [
        float(
            CLIENT.infer("sums", [tensor("x", array, "FP32")], request_compression_algorithm=word).as_numpy("output")[0]
        )
        for word in ("gzip", "deflate")
    ]


def configured() -> dict[str, Any]:
    a, b = np.array([[1, 2], [3, 4]], dtype=np.int32), np.array([["q"], ["r"]], dtype=np.object_)
    result = CLIENT.infer(
        "configured",
        [tensor("a", a, "INT32"), tensor("b", b, "BYTES", binary=False)],
        outputs=[triton.InferRequestedOutput("total"), triton.InferRequestedOutput("label", binary_data=False)],
        request_id="r-7",
        model_version="1.0",
    )
    head = result.get_response()
    return {
        "total": result.as_numpy("total").tolist(),
        "label": [str(value) for value in result.as_numpy("label")],
        "head": [head["model_name"], head["model_version"], head["id"]],
    }


def errors() -> dict[str, Any]:
    x, a = np.zeros((1, 2), dtype=np.float32), np.zeros((1, 2), dtype=np.int32)
    return {
        "model": error_of(lambda: CLIENT.infer("nobody", [tensor("x", x, "FP32")])),
        "version": error_of(lambda: CLIENT.infer("echo", [tensor("x", x, "FP32")], model_version="9")),
        "missing": error_of(lambda: CLIENT.infer("configured", [tensor("a", a, "INT32")])),
        "handler": error_of(lambda: CLIENT.infer("echo", [tensor("raise", x, "FP32")])),
        "refused": error_of(lambda: CLIENT.infer("echo", [tensor("refuse", x, "FP32")])),
        "timeout": error_of(lambda: CLIENT.infer("echo", [tensor("sleep", x, "FP32")], timeout=1000)),
    }


def metadata() -> dict[str, Any]:
    server = CLIENT.get_server_metadata()
    return {
        "live": [CLIENT.is_server_live(), CLIENT.is_server_ready(), CLIENT.is_model_ready("echo")],
        "version": CLIENT.is_model_ready("echo", "1.0"),
        "nobody": CLIENT.is_model_ready("nobody"),
        "server": [server["name"], "binary_tensor_data" in server["extensions"]],
        "model": CLIENT.get_model_metadata("configured", "1.0"),
        "config": CLIENT.get_model_config("configured")["input"][0],
        "stats": [one["name"] for one in CLIENT.get_inference_statistics("sums")["model_stats"]],
        "all": len(CLIENT.get_inference_statistics()["model_stats"]) > 4,
        "trace": error_of(CLIENT.get_trace_settings)[:1],
    }


def main() -> None:
    say("datatypes", every_datatype())
    say("binary_bytes", binary_bytes())
    say("compressed", compressed())
    say("configured", configured())
    say("errors", errors())
    say("metadata", metadata())


main()
