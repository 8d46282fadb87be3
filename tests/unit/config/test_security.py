"""How open is the server?  The table of the decision, and what is refused to start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stoker.config.address import Address
from stoker.config.security import AccessPolicy, check, decide, mentioned_topics, remarks
from stoker.config.settings import Settings
from stoker.errors import ConfigurationError

OPEN = AccessPolicy(tokens=False, model_api=True, open_by_default=True)
TOKENS_AND_NO_API = AccessPolicy(tokens=True, model_api=False)
ELSEWHERE = Address("http", "0.0.0.0", 8080)
TOKENS_OFF: dict[str, Any] = {"disable_token_authorization": True}
API_ON: dict[str, Any] = {"enable_model_api": True}


@pytest.mark.parametrize(
    ("values", "mentioned", "file", "policy"),
    [
        ({}, set(), False, OPEN),
        ({}, {"model_store", "load_models"}, False, OPEN),
        ({"inference_address": Address("unix", path="/s")}, set(), False, OPEN),
        ({"grpc_inference_address": "unix:/s", "grpc_management_address": "unix:/m"}, set(), False, OPEN),
        ({}, set(), True, TOKENS_AND_NO_API),
        ({}, {"enable_model_api"}, False, TOKENS_AND_NO_API),
        ({}, {"disable_token_authorization"}, False, TOKENS_AND_NO_API),
        ({"grpc_inference_address": "0.0.0.0"}, set(), False, TOKENS_AND_NO_API),
        ({"grpc_management_address": "example.org"}, set(), False, TOKENS_AND_NO_API),
        ({"inference_address": ELSEWHERE}, set(), False, TOKENS_AND_NO_API),
        ({"management_address": ELSEWHERE}, set(), False, TOKENS_AND_NO_API),
        ({"metrics_address": ELSEWHERE}, set(), False, TOKENS_AND_NO_API),
        (TOKENS_OFF, {"disable_token_authorization"}, False, AccessPolicy(tokens=False, model_api=False)),
        (API_ON, {"enable_model_api"}, False, AccessPolicy(tokens=True, model_api=True)),
        (TOKENS_OFF | API_ON, {"enable_model_api"}, True, AccessPolicy(tokens=False, model_api=True)),
    ],
)
def test_only_an_untouched_server_that_only_this_machine_reaches_is_open(
    values: dict[str, Any], mentioned: set[str], file: bool, policy: AccessPolicy
) -> None:
    assert decide(replace(Settings(), **values), mentioned=mentioned, file_in_use=file) == policy


def test_a_variable_counts_as_mentioned_even_where_it_changes_no_value() -> None:
    assert "enable_model_api" in mentioned_topics(set(), {"TS_ENABLE_MODEL_API": "false"})
    assert mentioned_topics({"model_store"}, {"TS_MODEL_STORE": "x"}) == {"model_store"}


@pytest.mark.parametrize("topic", ["inference_token", "management_token", "token_file", "token_expiration_min"])
def test_who_sets_tokens_has_configured_security(topic: str) -> None:
    assert decide(Settings(), mentioned={topic}, file_in_use=False) == TOKENS_AND_NO_API


def test_a_token_in_the_environment_counts_too() -> None:
    assert "inference_token" in mentioned_topics(set(), {"TS_INFERENCE_TOKEN": "x"})


@pytest.mark.parametrize("key", ["grpc_inference_address", "grpc_management_address"])
@pytest.mark.parametrize("tokens", [True, False])
def test_a_reachable_address_starts_and_the_log_says_what_that_means(key: str, tokens: bool) -> None:
    settings = replace(Settings(), **{key: "0.0.0.0"})
    policy = AccessPolicy(tokens=tokens, model_api=False)
    check(settings)
    words = "Tokens travel unencrypted" if tokens else "without a token"
    assert [words in remark and "0.0.0.0" in remark for remark in remarks(settings, policy)] == [True]


def test_a_server_that_only_this_machine_reaches_causes_no_warning() -> None:
    assert not list(remarks(Settings(), TOKENS_AND_NO_API))


def test_the_open_server_of_the_quick_start_says_that_it_is_open() -> None:
    assert any("may register models" in remark for remark in remarks(Settings(), OPEN))


def test_tokens_that_nobody_needs_are_mentioned() -> None:
    settings = replace(Settings(), inference_token="x" * 30, disable_token_authorization=True)
    (remark,) = remarks(settings, decide(settings, mentioned={"inference_token"}, file_in_use=True))
    assert "no client needs one" in remark
    assert "xxx" not in remark


KEY, CERTIFICATE, STORE = Path("/k.pem"), Path("/c.pem"), Path("/s.p12")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"enable_grpc_ssl": True}, "needs private_key_file and certificate_file, or a keystore"),
        ({"private_key_file": KEY}, "belong together"),
        ({"certificate_file": CERTIFICATE}, "belong together"),
        ({"client_ca_file": Path("/ca.pem")}, "no listener has TLS"),
    ],
)
def test_a_server_that_was_told_to_use_tls_never_serves_without(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check(replace(Settings(), **values))


@pytest.mark.parametrize(
    "values",
    [
        {"enable_grpc_ssl": True, "private_key_file": KEY, "certificate_file": CERTIFICATE},
        {"enable_grpc_ssl": True, "keystore": STORE, "client_ca_file": Path("/ca.pem")},
        {"metrics_address": Address("https", "127.0.0.1", 1), "client_ca_file": Path("/ca.pem")},
        {"inference_address": Address("https", "0.0.0.0", 1)},
    ],
)
def test_tls_that_can_be_had_starts_and_the_log_calls_nothing_unencrypted(values: dict[str, Any]) -> None:
    settings = replace(Settings(), **values)
    check(settings)
    assert not [remark for remark in remarks(settings, TOKENS_AND_NO_API) if "unencrypted" in remark]


def test_what_has_tls_is_not_called_unencrypted() -> None:
    settings = replace(
        Settings(),
        enable_grpc_ssl=True,
        grpc_inference_address="0.0.0.0",
        inference_address=Address("https", "0.0.0.0", 8443),
    )
    assert not list(remarks(settings, TOKENS_AND_NO_API))


def test_where_client_certificates_are_not_asked_for_is_logged() -> None:
    settings = replace(Settings(), enable_grpc_ssl=True, client_ca_file=Path("/ca"), inference_address=ELSEWHERE)
    found = remarks(settings, TOKENS_AND_NO_API)
    assert any("has no effect where there is no TLS" in remark and "0.0.0.0:8080" in remark for remark in found)
