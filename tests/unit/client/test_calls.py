"""What the client puts on the wire, and how it reads failures."""

from __future__ import annotations

import inspect

import grpc
import pytest

from stoker.client import (
    Api,
    AsyncClient,
    CallError,
    Client,
    Endpoint,
    Prediction,
    SequencePart,
    SequenceRequest,
    calls,
    sequence_calls,
    workflow_calls,
)
from stoker.client.results import NodeTrace, WorkflowPart, WorkflowPrediction
from stoker.protos import inference_pb2, workflow_pb2


@pytest.mark.parametrize("payload", [b"abc", bytearray(b"abc"), memoryview(b"abc"), "abc", {"data": b"abc"}])
def test_a_bare_payload_is_the_input_data(payload: calls.Payload) -> None:
    message = calls.predict("m", payload).request
    assert dict(message.input) == {"data": b"abc"} and message.model_version == ""


def test_options_that_are_not_given_are_the_zero_that_the_protocol_reads_as_absent() -> None:
    message = calls.register("m.mar").request
    assert message.url == "m.mar"
    assert [field.name for field, _ in message.ListFields()] == ["url"]


def test_milliseconds_and_seconds_reach_their_fields() -> None:
    message = calls.register("m.mar", max_batch_delay_ms=5, response_timeout_s=7, startup_timeout_s=9).request
    assert (message.max_batch_delay, message.response_timeout, message.startup_timeout) == (5, 7, 9)


def test_tokens_travel_as_bearer_and_management_falls_back_to_the_one_token() -> None:
    endpoint = Endpoint(token="t")
    assert endpoint.metadata(Api.INFERENCE, {"a": "b"}) == (("authorization", "Bearer t"), ("a", "b"))
    assert endpoint.metadata(Api.MANAGEMENT) == (("authorization", "Bearer t"),)
    assert Endpoint().metadata(Api.MANAGEMENT) == ()


class Failed(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.NOT_FOUND

    def details(self) -> str:
        return "Model not found: m\norg.pytorch.serve.archive.model.ModelNotFoundException"


def test_an_error_has_the_sentence_and_torchserves_class_name_apart() -> None:
    error = CallError.of(Failed())
    assert error.message == "Model not found: m" and error.reason.endswith("ModelNotFoundException")
    assert str(error) == "NOT_FOUND: Model not found: m"


def test_a_prediction_is_bytes_text_and_json() -> None:
    assert Prediction(b'{"a": 1}').json() == {"a": 1}
    assert Prediction(b"\xff").text == "\ufffd"


CALLS = (
    "ping", "health", "predict", "predict_stream", "register", "unregister", "scale", "set_default", "list_models",
    "describe",
)  # fmt: skip
WORKFLOW_CALLS = (
    "predict_workflow", "stream_workflow", "register_workflow", "unregister_workflow", "list_workflows",
    "describe_workflow",
)  # fmt: skip

SEQUENCE_CALLS = ("predict_sequences",)
HOMES = {**dict.fromkeys(CALLS, calls), **dict.fromkeys(WORKFLOW_CALLS, workflow_calls)}
HOMES |= dict.fromkeys(SEQUENCE_CALLS, sequence_calls)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", HOMES)
def test_both_clients_take_the_arguments_of_the_one_definition(kind: type, name: str) -> None:
    definition = getattr(HOMES[name], name)
    method = getattr(kind, name)
    own, *rest = inspect.signature(method).parameters.values()
    assert own.name == "self" and rest == list(inspect.signature(definition).parameters.values())
    assert method.__doc__ == definition.__doc__ and method.__name__ == name
    assert "Raises:" in method.__doc__ or "errors: as" in method.__doc__


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_public_method_of_a_client_is_one_of_the_calls(kind: type) -> None:
    assert {name for name in vars(kind) if not name.startswith("_")} == set(HOMES)


def test_an_option_that_does_not_exist_is_refused_before_anything_is_sent() -> None:
    with Client() as client, pytest.raises(TypeError, match="batch_sise"):
        client.register("m.mar", batch_sise=3)  # type: ignore[call-arg]  # what the test is about


# ------------------------------------------------------------------------------------------- sequences


def test_a_request_of_a_sequence_says_what_is_given_and_no_more() -> None:
    whole = SequenceRequest("m", b"1", "s", start=True, end=True, version="2.0")
    messages = list(sequence_calls.predict_sequences([SequenceRequest("m", "1"), whole]).request)
    assert (dict(messages[0].input), messages[0].HasField("sequence_id")) == ({"data": b"1"}, False)
    assert (messages[1].sequence_id, messages[1].model_version) == ("s", "2.0")
    flags = {"ts_request_sequence_start": b"true", "ts_request_sequence_end": b"true"}
    assert dict(messages[1].input) == {"data": b"1", **flags}


def test_a_part_is_data_or_an_error_of_its_own() -> None:
    read = sequence_calls.predict_sequences([]).read
    assert read(inference_pb2.PredictionResponse(prediction=b"1", sequence_id="s"), {}) == SequencePart("s", b"1")
    failed = inference_pb2.PredictionResponse(sequence_id="s")
    failed.status.code, failed.status.message = 8, "full"
    error = read(failed, {}).error
    assert error is not None
    assert (error.code, error.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")


def test_an_unary_request_may_belong_to_a_sequence() -> None:
    assert calls.predict("m", b"", sequence_id="s").request.sequence_id == "s"
    assert not calls.predict("m", b"").request.HasField("sequence_id")
    read = calls.predict_stream("m", b"", sequence_id="s").read
    assert read(inference_pb2.PredictionResponse(sequence_id="s"), {}) == Prediction(b"", {}, "s")


# ------------------------------------------------------------------------------------------- workflows


def test_a_workflow_is_asked_for_its_leaves_unless_nodes_are_named() -> None:
    message = workflow_calls.predict_workflow("w", "abc").request
    assert (message.workflow_name, dict(message.input), list(message.nodes)) == ("w", {"data": b"abc"}, [])
    message = workflow_calls.stream_workflow("w", {"a": b"1", "b": b"2"}, nodes=["x", "y"]).request
    assert (dict(message.input), list(message.nodes)) == ({"a": b"1", "b": b"2"}, ["x", "y"])


def test_a_registration_of_a_workflow_says_whether_it_waits() -> None:
    """Not given means true on the wire, so that the call and its REST twin do the same."""
    for wanted in (True, False):
        message = workflow_calls.register_workflow("w.war", synchronous=wanted).request
        assert message.HasField("synchronous") and message.synchronous is wanted
    assert [field.name for field, _ in message.ListFields()] == ["url", "synchronous"]


def test_workflow_calls_go_to_the_api_that_has_their_token() -> None:
    assert workflow_calls.predict_workflow("w", b"").service.api is Api.INFERENCE
    assert workflow_calls.describe_workflow("w").service.api is Api.MANAGEMENT


def test_outputs_are_bytes_by_node_and_times_are_seconds() -> None:
    trace = {"a": workflow_pb2.NodeTrace(attempts=2, queue_us=1500, run_us=2_000_000)}
    reply = workflow_pb2.WorkflowPredictResponse(outputs={"a": b'{"x": 1}'}, trace=trace)
    found = workflow_calls.predict_workflow("w", b"").read(reply, {"h": "1"})
    assert found == WorkflowPrediction({"a": b'{"x": 1}'}, {"a": NodeTrace(2, 0.0015, 2.0)}, {"h": "1"})
    assert (found.data, found.text, found.json()) == (b'{"x": 1}', '{"x": 1}', {"x": 1})


def test_outputs_stand_in_the_order_in_which_they_were_asked_for() -> None:
    reply = workflow_pb2.WorkflowPredictResponse(outputs=dict.fromkeys("abcdefgh", b""))
    read = workflow_calls.predict_workflow("w", b"", nodes="hcebx").read
    assert list(read(reply, {}).outputs) == list("hceb")
    assert list(workflow_calls.predict_workflow("w", b"").read(reply, {}).outputs) == list("abcdefgh")


def test_one_output_cannot_be_had_where_there_are_several() -> None:
    with pytest.raises(ValueError, match="2 outputs: a, b"):
        _ = WorkflowPrediction({"a": b"", "b": b""}).data


def test_a_part_names_its_node_and_the_last_one_before_an_error_says_why() -> None:
    read = workflow_calls.stream_workflow("w", b"").read
    assert read(workflow_pb2.WorkflowPart(node="a", data=b"x"), {}) == WorkflowPart("a", b"x")
    failed = workflow_pb2.WorkflowPart(node="a", last=True)
    failed.status.message = "Error executing a: no"
    assert read(failed, {}) == WorkflowPart("a", b"", last=True, error="Error executing a: no")
