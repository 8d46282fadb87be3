"""What the client puts on the wire, and how it reads failures."""

from __future__ import annotations

import grpc
import pytest

from stoker.client import CallError, Endpoint, Prediction, requests


@pytest.mark.parametrize("payload", [b"abc", bytearray(b"abc"), memoryview(b"abc"), "abc", {"data": b"abc"}])
def test_a_bare_payload_is_the_input_data(payload: requests.Payload) -> None:
    message = requests.prediction("m", payload, None)
    assert dict(message.input) == {"data": b"abc"} and message.model_version == ""


def test_options_that_are_not_given_are_the_zero_that_the_protocol_reads_as_absent() -> None:
    message = requests.register("m.mar")
    assert message.url == "m.mar"
    assert [field.name for field, _ in message.ListFields()] == ["url"]


def test_milliseconds_and_seconds_reach_their_fields() -> None:
    message = requests.register("m.mar", max_batch_delay_ms=5, response_timeout_s=7, startup_timeout_s=9)
    assert (message.max_batch_delay, message.response_timeout, message.startup_timeout) == (5, 7, 9)


def test_tokens_travel_as_bearer_and_management_falls_back_to_the_one_token() -> None:
    endpoint = Endpoint(token="t")
    assert endpoint.inference_metadata({"a": "b"}) == (("authorization", "Bearer t"), ("a", "b"))
    assert endpoint.management_metadata() == (("authorization", "Bearer t"),)
    assert Endpoint().management_metadata() == ()


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
