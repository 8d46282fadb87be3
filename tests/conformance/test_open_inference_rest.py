"""The open inference protocol over REST: JSON and binary tensors, versions, error documents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from http_fakes import HttpPorts, Running, running
from open_inference_kit import rest_ports
from tensor_kit import answering, raw

from stoker import errors as e
from stoker.core.tensors import Form, Tensor
from stoker.frontend.request_limits import MOST_FIELDS

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def ports() -> HttpPorts:
    return rest_ports()


def tensor(datatype: str, shape: list[int], data: Any, name: str = "x") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def body(*inputs: Any, **members: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **members}


X = tensor("FP32", [1, 2], [1.0, 2.5])


async def post(server: Running, document: Any, path: str = "/v2/models/m/infer", **options: Any) -> Any:
    return await server.client.post(path, content=json.dumps(document), **options)


def with_binary(document: Any, *data: bytes) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(document).encode()
    return text + b"".join(data), {LENGTH: str(len(text))}


# ------------------------------------------------------------------------------------------------- infer

VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "INT8": [-128, 127],
    "INT64": [-(2**63), 1],
    "UINT64": [0, 2**63 + 5],
    "FP16": [0.5, -1.5],
    "BF16": [0.5, -1.5],
    "FP32": [0.5, 1.0],
    "FP64": [0.1, -1.0],
    "BYTES": ["é", ""],
}


@pytest.mark.parametrize("datatype", VALUES)
async def test_every_datatype_in_json_keeps_its_values(ports: HttpPorts, datatype: str) -> None:
    async with running(ports) as server:
        response = await post(server, body(tensor(datatype, [2], VALUES[datatype]), id="7"))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {
        "model_name": "m",
        "model_version": "1.0",
        "id": "7",
        "outputs": [{"name": "x", "datatype": datatype, "shape": [2], "data": VALUES[datatype]}],
    }


async def test_numbers_that_json_lacks_are_written_as_python_does(ports: HttpPorts) -> None:
    text = '{"inputs":[{"name":"x","datatype":"FP32","shape":[3],"data":[NaN,Infinity,-Infinity]}]}'
    async with running(ports) as server:
        response = await server.client.post("/v2/models/m/infer", content=text)
        assert '"data":[NaN,Infinity,-Infinity]' in response.text
        ports.inference.on_submit = answering(Tensor("x", "INT8", [], b"\1"), parameters={"score": float("nan")})
        response = await post(server, body(X))
    assert '"parameters":{"score":NaN}' in response.text


async def test_what_python_writes_is_read_as_python_does(ports: HttpPorts) -> None:
    document = json.dumps(body(X, id=None))
    infinite = '{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1e400]}]}'
    async with running(ports) as server:
        for content in (b"\xef\xbb\xbf" + document.encode(), document + "\n"):
            response = await server.client.post("/v2/models/m/infer", content=content)
            assert response.json()["outputs"][0]["data"] == X["data"]
        response = await server.client.post("/v2/models/m/infer", content=infinite)
        assert '"data":[Infinity]' in response.text


async def test_a_client_of_events_gets_a_document_too(ports: HttpPorts) -> None:
    async with running(ports) as server:
        response = await post(server, body(X), headers={"accept": "application/json, text/event-stream"})
    assert (response.headers["content-type"], response.json()["outputs"][0]["data"]) == ("application/json", X["data"])


async def test_under_the_envelope_of_the_protocol_shapes_are_numpys(ports: HttpPorts) -> None:
    """A size that the data has, a number alone: TorchServe's own examples send both."""
    ports.models.add("wrapped", envelope="kservev2")
    ports.inference.on_submit = answering(Tensor("x", "FP32", [1], raw("FP32", 1.0)))
    async with running(ports) as server:
        for shape in ([-1], 2, -1, [1, -1]):
            document = body(tensor("INT64", shape, [1, 2]))  # type: ignore[arg-type]
            assert (await post(server, document, "/v2/models/wrapped/infer")).status_code == 200
            assert json.loads(ports.inference.submissions[-1].inputs["body"]) == document
        response = await post(server, body(tensor("INT64", [3, -1], [1, 2])), "/v2/models/wrapped/infer")
        assert response.json()["error"] == "Input 'x' has 2 elements, which do not fit the shape [3, -1]."


async def test_nested_data_and_any_or_no_content_type_are_understood(ports: HttpPorts) -> None:
    nested = body(tensor("INT32", [2, 2], [[1, 2], [3, 4]]))
    async with running(ports) as server:
        for kind in ("application/json", "application/octet-stream", "text/plain"):
            response = await post(server, nested, headers={"content-type": kind})
            assert response.json()["outputs"][0]["data"] == [1, 2, 3, 4]


async def test_binary_tensors_come_and_go_behind_the_json(ports: HttpPorts) -> None:
    inputs = [
        {"name": "a", "datatype": "FP16", "shape": [1, 2], "parameters": {"binary_data_size": 4}},
        tensor("BYTES", [1], ["text"], "b"),
        {"name": "c", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 7}},
    ]
    half, text = raw("FP16", 0.5, 1.0), raw("BYTES", b"\xff\0x")
    content, headers = with_binary(body(*inputs, parameters={"binary_data_output": True}), half, text)
    async with running(ports) as server:
        response = await server.client.post("/v2/models/m/infer", content=content, headers=headers)
    head = json.loads(response.content[: int(response.headers[LENGTH])])
    assert response.headers["content-type"] == "application/octet-stream"
    assert [out["parameters"]["binary_data_size"] for out in head["outputs"]] == [4, 8, 7]
    assert response.content[int(response.headers[LENGTH]) :] == half + raw("BYTES", b"text") + text


async def test_each_requested_output_says_how_it_is_wanted(ports: HttpPorts) -> None:
    a, b = Tensor("a", "INT8", [], b"\1"), Tensor("b", "INT8", [], b"\2")
    ports.inference.on_submit = answering(a, b)
    outputs = [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]
    async with running(ports) as server:
        response = await post(server, body(X, outputs=outputs))
    head = json.loads(response.content[: int(response.headers[LENGTH])])
    assert [(out["name"], out.get("data")) for out in head["outputs"]] == [("b", None), ("a", [1])]
    assert response.content.endswith(b"}\2")


async def test_bytes_that_are_no_text_must_be_asked_for_as_binary_data(ports: HttpPorts) -> None:
    ports.inference.on_submit = answering(Tensor("o", "BYTES", [], raw("BYTES", b"\xff")))
    async with running(ports) as server:
        response = await post(server, body(X))
        assert (response.status_code, "binary data" in response.json()["error"]) == (400, True)


@pytest.mark.parametrize("path", ["models/m/infer", "repository/index", "repository/models/spare/load"])
async def test_a_document_of_too_many_names_is_refused_with_the_limit(ports: HttpPorts, path: str) -> None:
    names = "{" + ",".join(f'"{number:x}":1' for number in range(10_001)) + "}"
    async with running(ports) as server:
        response = await server.client.post(f"/v2/{path}", content=names)
        assert (response.status_code, response.json()["error"]) == (400, "The request has more than 10000 fields.")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_has_an_error_document_that_clients_can_read(
    ports: HttpPorts, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(100_000)

    async with running(ports) as server:
        content = pieces() if chunked else bytes(10_000_000)
        response = await server.client.post("/v2/models/m/infer", content=content)
        assert (response.status_code, response.json()["code"]) == (413, 413)
        assert response.json()["error"].startswith("The message is larger than max_request_size: ")
        response = await server.client.post("/predictions/m", content=bytes(10_000_000))
        assert (response.status_code, response.content) == (413, b"")


async def test_a_version_is_chosen_by_its_path_and_named_in_the_answer(ports: HttpPorts) -> None:
    async with running(ports) as server:
        response = await post(server, body(X), "/v2/models/m/versions/2.0/infer")
        assert (response.json()["model_version"], ports.inference.submissions[0].version) == ("2.0", "2.0")
        response = await post(server, body(X), "/v2/models/m/versions/9/infer")
        assert (response.status_code, response.json()["error"]) == (
            404,
            "Model version: 9 does not exist for model: m",
        )


async def test_torchserves_handlers_get_the_clients_document(ports: HttpPorts) -> None:
    ports.inference.on_submit = answering(Tensor("x", "FP32", [1], raw("FP32", 1.0)))
    document = body(X, id="7", own={"member": 1})
    async with running(ports) as server:
        response = await post(server, document, "/v2/models/plain/infer")
    (job,) = ports.inference.submissions
    assert json.loads(job.inputs["body"]) == document
    assert job.tensors is not None
    assert (job.kinds, job.tensors.form, job.tensors.names) == ({"body": "application/json"}, Form.JSON, ["x"])
    assert response.json()["id"] == "7"


@pytest.mark.parametrize("content", [b"\xff\xd8 a picture", b"[1, 2]", b'{"instances": [1]}', b""])
async def test_a_body_of_another_kind_reaches_torchserves_handlers_as_it_is(ports: HttpPorts, content: bytes) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(submission.inputs["body"])
    async with running(ports) as server:
        response = await server.client.post("/v2/models/plain/infer", content=content)
    assert (response.status_code, response.content, ports.inference.submissions[0].tensors) == (200, content, None)


async def test_the_rows_of_a_batch_are_jobs(ports: HttpPorts) -> None:
    async with running(ports) as server:
        response = await post(server, body(tensor("INT8", [3], [1, 2, 3])))
    assert response.json()["outputs"] == [tensor("INT8", [3], [1, 2, 3])]
    assert len(ports.inference.submissions) == 3


async def test_a_document_of_any_size_reaches_a_handler_that_takes_no_tensors(ports: HttpPorts) -> None:
    content = b"{" + b",".join(b'"%x":1' % number for number in range(MOST_FIELDS + 1)) + b"}"
    ports.inference.on_submit = lambda submission: submission.answer(submission.inputs["body"])
    async with running(ports) as server:
        response = await server.client.post("/v2/models/plain/infer", content=content)
        assert (response.status_code, response.content) == (200, content)
        for path in ("/v2/models/m/infer", "/v2/models/plain/versions/1.0/infer"):
            response = await server.client.post(path, content=content)
            assert (response.status_code, response.json()["error"]) == (400, "The request has more than 10000 fields.")


async def test_other_encodings_than_utf_8_are_refused(ports: HttpPorts) -> None:
    async with running(ports) as server:
        response = await server.client.post("/v2/models/m/infer", content=json.dumps(body(X)).encode("utf-16"))
    assert (response.status_code, response.json()["error"]) == (400, "The body is not a JSON object.")


async def test_the_requests_headers_reach_the_handler(ports: HttpPorts) -> None:
    async with running(ports) as server:
        await post(server, body(X), headers={"X-Own": "1"})
    assert (ports.inference.submissions[0].headers or {})["X-Own"] == "1"


async def test_where_the_protocol_is_off_its_paths_are_predictions_or_unknown() -> None:
    ports = HttpPorts()
    ports.inference.on_submit = lambda submission: submission.answer(b"as ever")
    async with running(ports) as server:
        assert (await post(server, body(X))).content == b"as ever"
        assert (await post(server, body(X), "/v2/models/m/versions/1/infer")).status_code == 404
        for path in ("/v2", "/v2/health/live", "/v2/models/m", "/v2/models/m/ready"):
            assert (await server.client.get(path)).status_code == 404


# ------------------------------------------------------------------------------------------------ errors

BAD: list[tuple[Any, str]] = [
    ({"inputs": 1}, "The request has no 'inputs' list."),
    ({}, "The request has no 'inputs' list."),
    (body("x"), "An input is not a JSON object."),
    (body({"datatype": "INT8"}), "An input has no name."),
    (body(tensor("int8", [1], [1])), "The datatype of input 'x' is unknown: int8"),
    (body(tensor("INT8", [1.5], [1])), "The shape of input 'x' is not a list of whole numbers."),  # type: ignore[list-item]
    (body(tensor("INT8", [1], 1)), "Input 'x' has no 'data' list."),
    (body(tensor("INT8", [2], [1])), "Input 'x' has 1 elements where its shape has 2."),
    (body(tensor("INT8", [1], [1.5])), "Input 'x' has elements that are not INT8."),
    (body(tensor("BYTES", [1], [1])), "Input 'x' has elements that are not BYTES."),
    (body(tensor("INT8", [-1], [1])), "Input 'x' has a negative dimension."),
    (body(tensor("INT8", [0, 10**9], [])), "Input 'x' has no elements and is too large."),
    (body(tensor("FP32", [2, 2], [[1], [2, 3, 4]])), "Input 'x' has lists of different lengths."),
    (body(tensor("FP32", [3], [[1, 2], 3])), "Input 'x' is a mixture of lists and elements."),
    (body(tensor("INT8", [1], [True])), "Input 'x' has elements that are not INT8."),
    (body(tensor("FP32", [1], [True])), "Input 'x' has elements that are not FP32."),
    (body(tensor("BOOL", [1], [2])), "Input 'x' has elements that are not BOOL."),
    (body(tensor("FP32", [1], [None])), "Input 'x' has elements that are not FP32."),
    (body(tensor("FP32", [1], [1e39])), "Input 'x' has elements that are not FP32."),
    (body(tensor("BF16", [1], [1e39])), "Input 'x' has elements that are not BF16."),
    (body(tensor("FP16", [1], [1e6])), "Input 'x' has elements that are not FP16."),
    (body(tensor("UINT64", [1], [2**64])), "Input 'x' has elements that are not UINT64."),
    (body(tensor("FP32", 2, [1, 2])), "The shape of input 'x' is not a list of whole numbers."),  # type: ignore[arg-type]
    (body(X, X), "Input 'x' appears twice."),
    (body(X, outputs=[{"name": "x"}, {"name": "x"}]), "An output is requested twice."),
    (body(X, id=7), "The id of the request is not a string."),
    (body(X, outputs="o"), "'outputs' is not a list."),
    (body(X, outputs=[{}]), "A requested output has no name."),
    (body(X, parameters={"a": {}}), "The parameters of the request are not a map of strings, numbers and booleans."),
    (body(X, parameters={"a": 2**70}), "Parameter 'a' is out of range."),
    (body(X, parameters={"timeout": "soon"}), "The parameter 'timeout' is not a number of microseconds."),
    (body(X, parameters={"timeout": float("inf")}), "The parameter 'timeout' is not a number of microseconds."),
    (body(X, parameters={"timeout": True}), "The parameter 'timeout' is not a number of microseconds."),
    (body(X, parameters={"sequence_id": 1.5}), "The parameter 'sequence_id' is neither a string nor a whole number."),
    (body(X, parameters={"sequence_end": 1}), "The parameter 'sequence_end' is not a boolean."),
    (body({**X, "parameters": {"binary_data_size": 8}}), "The binary data of input 'x' is not in the body."),
    (body({**X, "parameters": {"shared_memory_region": "r"}}), "Shared memory is not supported."),
    (
        body(X, outputs=[{"name": "x", "parameters": {"classification": 2}}]),
        "The parameter 'classification' is not supported.",
    ),
]


@pytest.mark.parametrize(("document", "text"), BAD)
async def test_a_request_that_cannot_be_served_says_why_and_queues_nothing(
    ports: HttpPorts, document: Any, text: str
) -> None:
    async with running(ports) as server:
        response = await post(server, document)
    assert (response.status_code, response.json()) == (
        400,
        {"error": text, "code": 400, "type": "BadRequestException", "message": text},
    )
    assert not ports.inference.submissions


@pytest.mark.parametrize(
    ("length", "text"),
    [
        ("x", "Inference-Header-Content-Length is not a number of bytes."),
        ("-1", "Inference-Header-Content-Length is not a number of bytes."),
        ("9999", "Inference-Header-Content-Length is 9999, the body has"),
        ("3", "What Inference-Header-Content-Length counts is not a JSON object."),
    ],
)
async def test_a_length_that_is_wrong_is_refused(ports: HttpPorts, length: str, text: str) -> None:
    async with running(ports) as server:
        response = await post(server, body(X), headers={LENGTH: length})
    assert (response.status_code, response.json()["error"].startswith(text)) == (400, True)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"inputs": []} and more', b' {"inputs": [\xff]}', b"{" + b'"a":[' * 5000]
)
async def test_a_body_that_is_damaged_never_reaches_a_handler_of_tensors(ports: HttpPorts, content: bytes) -> None:
    async with running(ports) as server:
        for path in ("/v2/models/m/infer", "/v2/models/m/versions/1.0/infer"):
            response = await server.client.post(path, content=content)
            assert (response.status_code, response.json()["error"]) == (400, "The body is not a JSON object.")
    assert not ports.inference.submissions


async def test_a_tensor_comes_in_json_or_behind_it(ports: HttpPorts) -> None:
    content, headers = with_binary(body({**X, "parameters": {"binary_data_size": 8}}), bytes(8))
    async with running(ports) as server:
        response = await server.client.post("/v2/models/m/infer", content=content, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "Input 'x' has 'data' and binary data.")


async def test_binary_data_that_belongs_to_no_input_is_refused(ports: HttpPorts) -> None:
    content, headers = with_binary(body(X), b"abc")
    async with running(ports) as server:
        response = await server.client.post("/v2/models/m/infer", content=content, headers=headers)
    assert response.json()["error"] == "The body has 3 bytes of binary data that belong to no input."


ERRORS: list[tuple[Exception, int, int]] = [
    (e.NoWorkers("m"), 503, 503),
    (e.QueueFull("m"), 503, 503),
    (e.HandlerRaised(), 500, 503),
    (e.InvalidOutput("odd"), 500, 503),
    (e.HandlerRefused("no", 404), 404, 404),
    (e.DeadlineExceeded(), 504, 504),
    (e.WorkerDied(), 500, 500),
    (RuntimeError("secret"), 500, 500),
]


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
async def test_errors_are_documents_that_both_kinds_of_client_read(ports: HttpPorts, mode: str) -> None:
    ports.status_codes = mode
    async with running(ports) as server:
        for error, correct, torchserve in ERRORS:
            ports.inference.on_submit = lambda submission, error=error: submission.reply.fail(error)
            response = await post(server, body(X))
            answer = response.json()
            assert response.status_code == answer["code"] == (correct if mode == "correct" else torchserve), error
            assert answer["error"] == answer["message"] != ""
            assert "secret" not in response.text


async def test_other_paths_keep_torchserves_error_document(ports: HttpPorts) -> None:
    async with running(ports) as server:
        ports.inference.refusal = e.ModelNotFound(model="m")
        assert "error" not in (await server.client.get("/predictions/m")).json()
        assert "error" in (await server.client.get("/v2/nothing")).json()
