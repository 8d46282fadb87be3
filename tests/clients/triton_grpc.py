"""What `tritonclient.grpc` sees of the server: one JSON line a case. The argument: where things are."""

from __future__ import annotations

import queue
import threading
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from reporting import PLACE, say
from triton_errors import error_of

CLIENT = triton.InferenceServerClient(PLACE["inference"])
ARRAYS: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], dtype=np.uint8),
    "UINT16": np.array([[0, 65535]], dtype=np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], dtype=np.uint32),
    "UINT64": np.array([[0, 2**63 + 5]], dtype=np.uint64),
    "INT8": np.array([[-128, 127]], dtype=np.int8),
    "INT16": np.array([[-(2**15), 1]], dtype=np.int16),
    "INT32": np.array([[-(2**31), 1]], dtype=np.int32),
    "INT64": np.array([[-(2**63), 1]], dtype=np.int64),
    "FP16": np.array([[0.5, -1.5]], dtype=np.float16),
    "FP32": np.array([[0.5, np.nan, np.inf]], dtype=np.float32),
    "FP64": np.array([[0.1, -np.inf]], dtype=np.float64),
    "BYTES": np.array([[b"a\x00b", b"", "é".encode()]], dtype=np.object_),
}


def tensor(name: str, array: Any, datatype: str) -> Any:
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def infer(model: str, *inputs: Any, **options: Any) -> Any:
    return CLIENT.infer(model, list(inputs), **options)


def same(array: Any, back: Any) -> bool:
    equal = np.array_equal(array, back) if array.dtype == np.object_ else np.array_equal(array, back, equal_nan=True)
    return bool(equal and array.dtype == back.dtype)


def every_datatype(model: str, output: str) -> dict[str, bool]:
    return {
        datatype: same(array, infer(model, tensor("x", array, datatype)).as_numpy(output))
        for datatype, array in ARRAYS.items()
    }


def batches() -> dict[str, Any]:
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    return {
        model: infer(model, tensor("x", array, "FP32")).as_numpy("output").tolist() for model in ("sums", "sums_of_8")
    }


def more_rows_than_the_queue_holds() -> bool:
    array = np.ones((500, 2), dtype=np.float32)
    return bool((infer("sums", tensor("x", array, "FP32")).as_numpy("output") == 2).all())


def configured() -> dict[str, Any]:
    a, b = np.array([[1, 2]], dtype=np.int32), np.array([["q"]], dtype=np.object_)
    wanted = [triton.InferRequestedOutput("label"), triton.InferRequestedOutput("total")]
    result = infer("configured", tensor("a", a, "INT32"), tensor("b", b, "BYTES"), outputs=wanted, request_id="r-7")
    response = result.get_response()
    return {
        "outputs": [[output.name, output.datatype, list(output.shape)] for output in response.outputs],
        "total": result.as_numpy("total").tolist(),
        "label": [value.decode() for value in result.as_numpy("label")],
        "head": [response.model_name, response.model_version, response.id],
    }


def errors() -> dict[str, Any]:
    x, wide = np.zeros((1, 2), dtype=np.float32), np.zeros((1, 3), dtype=np.int32)
    a, b = np.zeros((1, 2), dtype=np.int32), np.array([["q"]], dtype=np.object_)
    both = [tensor("a", a, "INT32"), tensor("b", b, "BYTES")]
    return {
        "model": error_of(lambda: infer("nobody", tensor("x", x, "FP32"))),
        "version": error_of(lambda: infer("echo", tensor("x", x, "FP32"), model_version="9")),
        "missing": error_of(lambda: infer("configured", both[0])),
        "unknown": error_of(lambda: infer("configured", *both, tensor("c", a, "INT32"))),
        "datatype": error_of(lambda: infer("configured", tensor("a", x, "FP32"), both[1])),
        "shape": error_of(lambda: infer("configured", tensor("a", wide, "INT32"), both[1])),
        "output": error_of(lambda: infer("configured", *both, outputs=[triton.InferRequestedOutput("nothing")])),
        "classification": error_of(
            lambda: infer("configured", *both, outputs=[triton.InferRequestedOutput("total", class_count=3)])
        ),
        "handler": error_of(lambda: infer("echo", tensor("raise", x, "FP32"))),
        "refused": error_of(lambda: infer("echo", tensor("refuse", x, "FP32"))),
        "timeout": error_of(lambda: infer("echo", tensor("sleep", x, "FP32"), timeout=1000)),
    }


def metadata() -> dict[str, Any]:
    found = CLIENT.get_model_metadata("configured", as_json=True)
    server = CLIENT.get_server_metadata(as_json=True)
    return {
        "live": [CLIENT.is_server_live(), CLIENT.is_server_ready(), CLIENT.is_model_ready("echo")],
        "server": [server["name"], "binary_tensor_data" in server["extensions"]],
        "model": found,
        "plain": CLIENT.get_model_metadata("document", as_json=True),
        "unknown": error_of(lambda: CLIENT.is_model_ready("nobody")),
    }


class Stream:
    """A stream of the client, and what its callback saw."""

    def __init__(self) -> None:
        self._client = triton.InferenceServerClient(PLACE["inference"])
        self.seen: queue.Queue[Any] = queue.Queue()

    def __enter__(self) -> Stream:
        self._client.start_stream(callback=lambda result, error: self.seen.put(self._plain(result, error)))
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_stream()
        self._client.close()

    @staticmethod
    def _plain(result: Any, error: Any) -> list[Any]:
        if error is not None:
            return ["error", str(error.message())]
        response = result.get_response()
        values = result.as_numpy(response.outputs[0].name).tolist() if response.outputs else None
        if isinstance(values, list) and values and isinstance(values[0], bytes):
            values = [value.decode() for value in values]
        return [response.id, values, response.parameters["triton_final_response"].bool_param]

    def send(self, model: str, *inputs: Any, **options: Any) -> None:
        self._client.async_stream_infer(model, list(inputs), **options)

    def take(self, count: int) -> list[Any]:
        return [self.seen.get(timeout=60) for _ in range(count)]


def streams() -> dict[str, Any]:
    parts = tensor("count", np.array([3], dtype=np.int32), "INT32")
    with Stream() as stream:
        stream.send("parts", parts, request_id="a")
        marked = stream.take(3)
        stream.send("parts", parts, request_id="b", enable_empty_final_response=True)
        empty_at_the_end = stream.take(4)
        stream.send("nobody", parts, request_id="c")
        stream.send("parts", tensor("wrong", np.zeros(1, dtype=np.int32), "INT32"), request_id="d")
        errors = sorted(stream.take(2))
        stream.send("parts", parts, request_id="e")
        alive = stream.take(3)[-1]
    return {"marked": marked, "empty": empty_at_the_end, "errors": errors, "alive": alive}


def sequences() -> list[Any]:
    """Requests of one sequence follow one another, although the slow one is first."""
    with Stream() as stream:
        for number, seconds in enumerate([0.3, 0.0, 0.0]):
            pause = tensor("pause", np.array([[seconds]], dtype=np.float32), "FP32")
            stream.send("pauses", pause, request_id=str(number), sequence_id=7, sequence_start=not number)
        return [answer[0] for answer in stream.take(3)]


def parallel_streams() -> list[int]:
    """Every stream gets the answers to its own requests."""
    x = tensor("x", np.zeros((1, 2), dtype=np.float32), "FP32")
    found: list[set[str]] = []

    def run(name: str) -> None:
        with Stream() as stream:
            for number in range(20):
                stream.send("echo", x, request_id=f"{name}-{number}")
            found.append({answer[0] for answer in stream.take(20)} - {f"{name}-{number}" for number in range(20)})

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [len(wrong) for wrong in found]


def about_models() -> dict[str, Any]:
    config = CLIENT.get_model_config("configured", as_json=True)["config"]
    stats = CLIENT.get_inference_statistics("sums").model_stats[0]
    total = stats.inference_stats
    return {
        "config": {key: config[key] for key in ("name", "max_batch_size", "input")},
        "stats": [stats.inference_count == stats.execution_count == total.success.count, total.compute_infer.ns > 0],
        "all": len(CLIENT.get_inference_statistics().model_stats) > 4,
        "not_supported": error_of(CLIENT.get_trace_settings)[:1],
    }


def main() -> None:
    say("datatypes", every_datatype("echo", "output"))
    say("datatypes_of_lists", every_datatype("as_lists", "output"))
    say("batches", batches())
    say("more_rows", more_rows_than_the_queue_holds())
    say("no_rows", infer("echo", tensor("x", np.zeros((0, 2), dtype=np.float32), "FP32")).as_numpy("output").tolist())
    say("configured", configured())
    say("errors", errors())
    say("metadata", metadata())
    say("streams", streams())
    say("sequences", sequences())
    say("parallel_streams", parallel_streams())
    say("about_models", about_models())


main()
