"""What is said of an archive: manifest, model-config.yaml, sources."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.config.model_keys import BY_NAME
from stoker.config.settings import Settings
from stoker.migrate import models
from stoker.migrate.archives import Contents
from stoker.migrate.findings import Finding, Verdict

ANY_VALUE = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just([]) | st.just({})
)
HANDLER = b"def handle(data, context):\n    return data\n"


def contents(model: dict[str, Any] | None = None, runtime: str = "python", **files: bytes) -> Contents:
    entry = {"modelName": "m", "modelVersion": "1.0", "handler": "handler.py", **(model or {})}
    manifest = json.dumps({"runtime": runtime, "model": {k: v for k, v in entry.items() if v is not None}})
    texts = {"MAR-INF/MANIFEST.json": manifest.encode(), "handler.py": HANDLER}
    texts |= {name.replace("__", "."): data for name, data in files.items()}
    return Contents(names=frozenset(texts), texts=texts)


def check(found: Contents, **settings: Any) -> list[Finding]:
    return models.check("m.mar", found, Settings(**settings))


def with_config(yaml: str, **settings: Any) -> list[Finding]:
    return check(contents({"configFile": "config.yaml"}, config__yaml=yaml.encode()), **settings)


def test_an_ordinary_archive_is_the_same() -> None:
    assert check(contents()) == [Finding("models", "m.mar", Verdict.SAME)]


@pytest.mark.parametrize(
    "yaml",
    [
        "parallelType: tp\ntorchrun: {nproc-per-node: 2, nnodes: 2}",
        "asyncCommunication: true\nparallelType: tp\nparallelLevel: 2",
        "continuousBatching: true\nparallelType: pp\nparallelLevel: 2",
        "shareWeights: true\nparallelType: custom\nparallelLevel: 2",
    ],
)
def test_what_registration_refuses_is_unsupported_and_named(yaml: str) -> None:
    (found,) = with_config(yaml)
    assert found.verdict is Verdict.UNSUPPORTED
    words = ("torchrun: nnodes", "asyncCommunication", "continuousBatching", "shareWeights")
    assert any(word in found.text for word in words)


def test_sequences_without_an_idle_limit_are_refused_where_torchserve_fails_every_request() -> None:
    (found,) = with_config("sequenceBatching: true")
    assert found.verdict is Verdict.UNSUPPORTED
    assert "sequenceBatching needs sequenceMaxIdleMSec" in found.text


@pytest.mark.parametrize(
    "yaml",
    [
        "sequenceBatching: true\nsequenceMaxIdleMSec: 100",
        "continuousBatching: true",
        "asyncCommunication: true",
        "useJobTicket: true",
        "minWorkers: 1\nmaxWorkers: 2",
        "handler: {anything: [1]}",
        "parallelType: custom",
        "parallelType: tp\nparallelLevel: 2",
        "parallelType: pp\ntorchrun: {nproc-per-node: 2, rdzv-backend: c10d}",
        "",
        "- list",
    ],
)
def test_what_is_served_or_the_handlers_own_is_the_same(yaml: str) -> None:
    assert [found.verdict for found in with_config(yaml)] == [Verdict.SAME]


@pytest.mark.parametrize(
    ("yaml", "verdict", "word"),
    [
        ("autoscale: true", Verdict.CHANGED, "the load decides"),
        ("batchSize: 4", Verdict.CHANGED, "batching: fixed"),
        ("minWorkers: 4\nmaxWorkers: 2", Verdict.UNSUPPORTED, "less than"),
        ("batchSize: 99999999999", Verdict.UNSUPPORTED, "batchSize: 99999999999 is out of range"),
        ("batchSize: four", Verdict.SAME, "batchSize"),
        ("a: [", Verdict.UNSUPPORTED, "not valid YAML"),
        ("a: !!python/object/apply:os.system [echo]", Verdict.UNSUPPORTED, "not valid YAML"),
    ],
)
def test_the_config_is_read_as_the_server_reads_it(yaml: str, verdict: Verdict, word: str) -> None:
    (found,) = with_config(yaml)
    assert found.verdict is verdict
    assert word in found.text


def test_a_config_without_a_timeout_takes_the_servers() -> None:
    (found,) = with_config("minWorkers: 1", default_response_timeout_s=60.0)
    assert "default_response_timeout" in found.text


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("from ts.torch_handler.base_handler import BaseHandler", None),
        ("from ts.utils.util import PredictionException", None),
        ("import ts.metrics.dimension", None),
        ("from ts.context import Context", None),
        ("from ts.no_such_module import x", "ts.no_such_module"),
        ("from ts.context import NoSuchName", "ts.context.NoSuchName"),
        ("def f():\n    import ts.nowhere", "ts.nowhere"),
        ("import tsx", None),
    ],
)
def test_an_import_that_would_fail_is_found_in_the_text(source: str, missing: str | None) -> None:
    found = check(contents(extra__py=source.encode()))
    if missing is None:
        assert [one.verdict for one in found] == [Verdict.SAME]
    else:
        assert found[0].verdict is Verdict.UNSUPPORTED
        assert missing in found[0].text
        assert found[0].where.startswith("extra.py, line ")


@pytest.mark.parametrize("caught", ["except ImportError:", "except (KeyError, ModuleNotFoundError):", "except:"])
def test_an_import_whose_failure_the_handler_expects_is_only_a_change(caught: str) -> None:
    source = f"if True:\n    try:\n        from ts.nowhere import x\n    {caught}\n        x = None\n"
    (found,) = check(contents(extra__py=source.encode()))
    assert found.verdict is Verdict.CHANGED
    assert found.where == "extra.py, line 3"


def test_an_import_beside_the_guarded_block_is_not_guarded() -> None:
    source = b"try:\n    pass\nexcept ImportError:\n    import ts.nowhere\n"
    assert check(contents(extra__py=source))[0].verdict is Verdict.UNSUPPORTED


def test_a_handler_that_is_no_source_for_this_python_is_unsupported() -> None:
    (found,) = check(contents(handler__py=b"print 'two'"))
    assert found.verdict is Verdict.UNSUPPORTED
    assert "line 1" in found.text


@pytest.mark.parametrize(
    ("model", "runtime", "verdict", "word"),
    [
        ({}, "LSP", Verdict.UNSUPPORTED, "C++"),
        ({"handler": None}, "python", Verdict.UNSUPPORTED, "default_service_handler"),
        ({"handler": "image_classifier"}, "python", Verdict.SAME, ""),
        ({"handler": "vllm_handler"}, "python", Verdict.SAME, ""),
        ({"handler": "trt_llm_handler"}, "python", Verdict.UNSUPPORTED, "not supported: pack one of your own"),
        ({"handler": "dali_image_classifier"}, "python", Verdict.UNSUPPORTED, "not supported: pack one of your own"),
        ({"handler": "elsewhere:handle"}, "python", Verdict.CHANGED, "importable"),
        ({"serializedFile": "gone.pt"}, "python", Verdict.UNSUPPORTED, "gone.pt"),
        ({"modelName": "a/b"}, "python", Verdict.UNSUPPORTED, "Model name is not valid"),
    ],
)
def test_the_manifest_is_judged(model: dict[str, Any], runtime: str, verdict: Verdict, word: str) -> None:
    (found,) = check(contents(model, runtime))
    assert found.verdict is verdict
    assert word in found.text


def test_a_default_handler_serves_an_archive_without_one() -> None:
    (found,) = check(contents({"handler": None}), default_service_handler="handler:handle")
    assert found.verdict is Verdict.SAME


@pytest.mark.parametrize(("installed", "verdict"), [(True, Verdict.SAME), (False, Verdict.CHANGED)])
def test_requirements_that_nobody_installs_are_named(installed: bool, verdict: Verdict) -> None:
    archive = contents({"requirementsFile": "requirements.txt"}, requirements__txt=b"x")
    (found,) = check(archive, install_py_dep_per_model=installed)
    assert found.verdict is verdict


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
def test_no_archive_is_too_odd_to_be_judged(manifest: bytes, config: bytes, source: bytes) -> None:
    texts = {**contents({"configFile": "config.yaml"}).texts, "config.yaml": config, "odd.py": source}
    assert check(Contents(names=frozenset(texts), texts=texts))
    assert check(Contents(names=frozenset(texts), texts={**texts, "MAR-INF/MANIFEST.json": manifest}))


@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), ANY_VALUE, min_size=1))
def test_no_value_of_a_key_is_too_odd_to_be_judged(document: dict[str, Any]) -> None:
    assert with_config(json.dumps(document))


STREAMS = b"from ts.handler_utils.utils import send_intermediate_predict_response\n"


@pytest.mark.parametrize(
    ("yaml", "source", "told"),
    [
        ("batchSize: 8", STREAMS, True),
        ("batchSize: 8\nstreamBatching: true", STREAMS, False),
        ("batchSize: 8\nstreamBatching: false", STREAMS, False),
        ("batchSize: 8\ncontinuousBatching: true", STREAMS, False),
        ("batchSize: 1", STREAMS, False),
        ("batchSize: 8", HANDLER, False),
    ],
)
def test_streams_that_shared_a_batch_are_named(yaml: str, source: bytes, told: bool) -> None:
    found = check(contents({"configFile": "config.yaml"}, config__yaml=yaml.encode(), more__py=source))
    assert any("streamBatching: true" in each.text for each in found) is told
