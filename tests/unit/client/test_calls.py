"""What the client puts on the wire, and how it reads failures."""

from __future__ import annotations

import inspect

import grpc
import pytest

from stoker.client import Api, AsyncClient, CallError, Client, Endpoint, Prediction, calls


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


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", CALLS)
def test_both_clients_take_the_arguments_of_the_one_definition(kind: type, name: str) -> None:
    definition, method = getattr(calls, name), getattr(kind, name)
    own, *rest = inspect.signature(method).parameters.values()
    assert own.name == "self" and rest == list(inspect.signature(definition).parameters.values())
    assert method.__doc__ == definition.__doc__ and method.__name__ == name
    assert "Raises:" in method.__doc__ or "errors: as" in method.__doc__


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_public_method_of_a_client_is_one_of_the_calls(kind: type) -> None:
    assert {name for name in vars(kind) if not name.startswith("_")} == set(CALLS)


def test_an_option_that_does_not_exist_is_refused_before_anything_is_sent() -> None:
    with Client() as client, pytest.raises(TypeError, match="batch_sise"):
        client.register("m.mar", batch_sise=3)  # type: ignore[call-arg]  # what the test is about
