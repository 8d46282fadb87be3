"""What is said of the lines of a properties file and of TS_ variables."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.config import properties
from stoker.config.settings import ROWS
from stoker.migrate import settings
from stoker.migrate.findings import Finding, Verdict

HOSTILE = ("true", "1", "-1", "9" * 400, "{}", "[", "(", "https://0.0.0.0", "http://h:99999", "$$X$$", "\0", "all")
SAME, CHANGED, UNSUPPORTED = Verdict.SAME, Verdict.CHANGED, Verdict.UNSUPPORTED


def findings(text: str, environment: Mapping[str, str] | None = None) -> list[Finding]:
    entries = properties.parse(text, file="config.properties")
    return list(settings.check(entries, file="config.properties", environment=environment or {}).findings)


def one(item: str, text: str, environment: Mapping[str, str] | None = None) -> Finding:
    return next(finding for finding in findings(text, environment) if finding.item == item)


@pytest.mark.parametrize(
    ("line", "verdict", "words"),
    [
        ("inference_address=http://127.0.0.1:8080", SAME, ""),
        ("job_queue_size=5", SAME, ""),
        ("number_of_netty_threads=4", CHANGED, "no Java|virtual machine"),
        ("number_of_netty_threads=0", SAME, "virtual machine"),
        ("vmargs=-Xmx1g", CHANGED, "no Java"),
        ("vmargs=-Dlog4j.configurationFile=file:///log4j2.xml", CHANGED, "only the levels take effect"),
        ("plugins_path=/plugins", UNSUPPORTED, "Java classes"),
        ("keystore_type=JKS", UNSUPPORTED, "keytool"),
        ("keystore_type=PKCS12", SAME, ""),
        ("ts_open_inference_protocol=true", SAME, ""),
        ("ts_open_inference_protocol=false", SAME, ""),
        ("model_server_home=/opt/torchserve", UNSUPPORTED, "package ts"),
        ("debug=true", CHANGED, "port 9000"),
        ("allowed_urls=https://.*", CHANGED, "allow_private_urls"),
        ("system_metrics_cmd=x.py", CHANGED, "without a command"),
        ("cpu_launcher_enable=true", CHANGED, "numactl"),
        ("cpu_launcher_enable=false", SAME, "numactl"),
        ("job_queue_sise=5", CHANGED, "Did you mean job_queue_size"),
        ("job_queue_size=many", UNSUPPORTED, "not a whole number"),
        ("inference_address=ftp://x", UNSUPPORTED, "expected: http"),
        ("model_store=$$STORE$$", UNSUPPORTED, "Invalid Environment Variable STORE"),
        ('models={"m": {"1.0": {"minWorkers": 1, "batchSize": 2}}}', SAME, ""),
        ("models={'m': {'1.0': {'minWorkers': '1'}}}", SAME, ""),
        ('models={"m": {"1.0": {"deviceIds": [0]}}}', SAME, "with a warning: deviceIds"),
        ('models={"m": {"1.0": {"sequenceBatching": true}}}', SAME, "with a warning: sequenceBatching"),
        ('models={"m": {"1.0": {"minWorkers": "many"}}}', UNSUPPORTED, "minWorkers of version 1.0 of model m"),
        ("model_snapshot={models: {m: {1.0: {marName: m.mar}}}}", CHANGED, "Its models are loaded"),
        ("model_snapshot={models: {m: {1.0: {marName: m.mar, useVenv: true}}}}", CHANGED, "with a warning: useVenv"),
        ("model_snapshot={models: {m: {1.0: {}}}}", UNSUPPORTED, "has no marName"),
    ],
)
def test_each_line_gets_its_verdict_and_says_why(line: str, verdict: Verdict, words: str) -> None:
    found = one(line.partition("=")[0], line)
    assert found.verdict is verdict
    assert any(word in found.text for word in words.split("|")), found.text
    assert found.where == "line 1"


def test_every_key_of_the_table_has_a_verdict() -> None:
    text = "".join(properties.line(row.key, row.default_text) for row in ROWS.values() if row.default_text != "-")
    told = {finding.item for finding in findings(text)}
    assert told >= {row.key for row in ROWS.values() if row.default_text != "-" and not row.key.endswith("location")}


def test_allowed_urls_left_to_the_default_is_a_change() -> None:
    assert one("allowed_urls (not set)", "").verdict is CHANGED
    assert not [f for f in findings("allowed_urls=https://x") if f.item == "allowed_urls (not set)"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("enable_model_api=true", True),
        ("enable_model_api=true\nmodel_store=/models", True),
        ("enable_model_api=true\nmodel_store=/", False),
        ("enable_model_api=true\nallowed_model_paths=/", False),
        ("", False),
    ],
)
def test_clients_that_may_register_lose_directories_elsewhere(text: str, told: bool) -> None:
    assert any(finding.item == "allowed_model_paths (not set)" for finding in findings(text)) is told


def test_a_variable_counts_only_where_the_file_lets_it() -> None:
    environment = {"TS_JOB_QUEUE_SIZE": "many"}
    assert one("TS_JOB_QUEUE_SIZE", "", environment).verdict is SAME
    assert one("TS_JOB_QUEUE_SIZE", "enable_envvars_config=true", environment).verdict is UNSUPPORTED


def test_a_variable_that_counts_takes_the_place_of_the_line() -> None:
    checked = settings.check(
        properties.parse("enable_envvars_config=true\njob_queue_size=7", file="f"),
        file="f",
        environment={"TS_JOB_QUEUE_SIZE": "9", "TS_TOKEN_EXPIRATION_TIME_MIN": "5"},
    )
    assert checked.settings.job_queue_size == 9
    assert checked.settings.token_expiration_s == 300


def test_variables_of_java_have_no_effect_and_others_are_not_mentioned() -> None:
    environment = {"JAVA_HOME": "/java", "PATH": "/bin", "SECRET": "x"}
    assert [f.item for f in findings("", environment) if f.area == "environment"] == ["JAVA_HOME"]


def test_a_listener_that_others_reach_says_that_tokens_travel_unencrypted() -> None:
    texts = [f.text for f in findings("inference_address=http://0.0.0.0:8080") if f.area == "access"]
    assert any("unencrypted" in text for text in texts)
    texts = [f.text for f in findings("inference_address=http://0.0.0.0:8080\ndisable_token_authorization=true")]
    assert any("without a token" in text for text in texts)


def test_tls_without_a_certificate_stops_the_start() -> None:
    assert one("TLS", "enable_grpc_ssl=true").verdict is UNSUPPORTED


def test_a_secret_is_in_no_finding() -> None:
    told = str(findings("keystore_pass=hunter2\ninference_token=hunter2hunter2"))
    assert "hunter2" not in told


@given(st.lists(st.tuples(st.sampled_from(sorted(ROWS)) | st.text(), st.text() | st.sampled_from(HOSTILE)), max_size=6))
def test_no_line_is_too_odd_to_be_judged(pairs: list[tuple[str, str]]) -> None:
    found = findings("".join(properties.line(key, value) for key, value in pairs))
    assert {finding.item for finding in found} >= {key for key, _ in pairs}
