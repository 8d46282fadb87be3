"""Snapshots of models as text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.config import model_snapshot, properties
from stoker.config.model_snapshot import ModelSnapshot, SnapshotModel, SnapshotWorkflow, decode, describe, encode

ONE = SnapshotModel(name="one", version="1.0", default=True, mar_name="one.mar", min_workers=2, max_workers=3)


def file_text(snapshot: ModelSnapshot, **settings: str) -> str:
    encoded = model_snapshot.encode(snapshot, file_name="f", created_ms=1)
    return "".join(properties.line(k, v) for k, v in {**settings, "model_snapshot": encoded}.items())


def test_a_snapshot_has_torchserves_members_in_its_order() -> None:
    encoded = json.loads(model_snapshot.encode(ModelSnapshot((ONE,)), file_name="f.cfg", created_ms=5))
    assert list(encoded) == ["name", "modelCount", "created", "models"]
    assert encoded["models"]["one"]["1.0"] == {
        "defaultVersion": True,
        "marName": "one.mar",
        "minWorkers": 2,
        "maxWorkers": 3,
        "batchSize": 1,
        "maxBatchDelay": 100,
        "responseTimeout": 120,
        "startupTimeout": 120,
        "runtimeType": "python",
    }
    assert [type(v) for v in encoded["models"]["one"]["1.0"].values() if not isinstance(v, (str, bool))] == [int] * 6


@given(
    st.builds(
        SnapshotModel,
        name=st.text(min_size=1),
        version=st.text(),
        default=st.booleans(),
        mar_name=st.text(min_size=1),
        min_workers=st.just(1),
        max_workers=st.integers(1, 9),
        max_batch_delay_s=st.integers(0, 10**6).map(lambda ms: ms / 1000),
        response_timeout_s=st.sampled_from([0.5, 3, 120]),
        handler=st.none() | st.text(),
    )
)
def test_what_is_written_is_what_is_read_whatever_the_names_are(model: SnapshotModel) -> None:
    text = file_text(ModelSnapshot((model,)))
    assert text.isascii()
    (entry,) = properties.parse(text, file="f")
    (read,) = model_snapshot.decode(properties.expand(entry.value, {})).models
    assert read.max_batch_delay_s == pytest.approx(model.max_batch_delay_s)
    assert replace(read, max_batch_delay_s=0) == replace(model, max_batch_delay_s=0)


@given(st.dictionaries(st.text(), st.text()))
def test_properties_survive_being_written_and_read(entries: dict[str, str]) -> None:
    text = "".join(properties.line(key, value) for key, value in entries.items())
    assert {entry.key: entry.value for entry in properties.parse(text, file="f")} == entries


def test_a_comment_stays_one_line_of_ascii() -> None:
    assert properties.comment("a\nkey=é") == "#a key=?\n"


def test_members_that_are_missing_have_torchserves_defaults() -> None:
    (model,) = model_snapshot.decode('{"models": {"m": {"1": {"marName": "m.mar", "minWorkers": 3}}}}').models
    assert (model.response_timeout_s, model.startup_timeout_s, model.runtime) == (120, 120, "python")
    assert (model.min_workers, model.max_workers, model.batch_size, model.max_batch_delay_s) == (3, 3, 1, 0.1)


@pytest.mark.parametrize(
    "members",
    [
        "{}",
        '{"marName": []}',
        '{"marName": ""}',
        '{"marName": "m", "minWorkers": "two"}',
        '{"marName": "m", "minWorkers": -1}',
        '{"marName": "m", "minWorkers": 5000}',
        '{"marName": "m", "batchSize": true}',
        '{"marName": "m", "maxBatchDelay": NaN}',
        '{"marName": "m", "responseTimeout": 1e999}',
        '{"marName": "m", "defaultVersion": {}}',
        '{"marName": "m", "runtimeType": "ruby"}',
        "[]",
    ],
)
def test_members_of_the_wrong_kind_are_an_error_that_names_the_version(members: str) -> None:
    with pytest.raises(ValueError, match="version 1 of model m"):
        model_snapshot.decode(f'{{"models": {{"m": {{"1": {members}}}}}}}')


@pytest.mark.parametrize(
    ("members", "means"),
    [
        ('"minWorkers": "2", "batchSize": "4"', {"min_workers": 2, "max_workers": 2, "batch_size": 4}),
        ("'defaultVersion': 'True', minWorkers: 1.5", {"default": True}),
        ('"defaultVersion": True', {"default": True}),
        ('"defaultVersion": "yes", "parallelLevel": "2"', {"parallel_level": 2}),
        ('"maxBatchDelay": "50"; "responseTimeout": 0.5 // s', {"max_batch_delay_s": 0.05, "response_timeout_s": 0.5}),
        ('"runtimeType": python3, "useVenv": true', {"runtime": "python3"}),
    ],
)
def test_a_snapshot_is_read_as_machines_write_it(members: str, means: dict[str, object]) -> None:
    read = model_snapshot.decode(f"{{models: {{m: {{1.0: {{marName: m.mar, {members}\n}}}}}}}}")
    expected = SnapshotModel(name="m", version="1.0", default=False, mar_name="m.mar")
    assert read.models == (replace(expected, **means),)  # type: ignore[arg-type]  # of every kind
    assert read.ignored == (("useVenv of version 1.0 of model m",) if "useVenv" in members else ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": []}', '{"models": {"m": 1}}', "[" * 100_000])
def test_what_is_no_snapshot_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        model_snapshot.decode(text)


def test_workflows_are_written_and_read_again() -> None:
    workflows = (
        SnapshotWorkflow(name="a", war_name="a.war"),
        SnapshotWorkflow(name="b", war_name="b.war", response_timeout_s=7, startup_timeout_s=1.5, url="/srv/b.war"),
    )
    text = encode(ModelSnapshot((), workflows=workflows), file_name="f", created_ms=1)

    assert json.loads(text)["workflows"]["a"] == {"warName": "a.war"}
    assert decode(text).workflows == workflows


def test_a_snapshot_without_workflows_says_nothing_of_them() -> None:
    assert "workflows" not in json.loads(encode(ModelSnapshot(()), file_name="f", created_ms=1))


@pytest.mark.parametrize(
    ("workflows", "reason"),
    [
        ({"w": {}}, "workflow w has no warName"),
        ({"w": {"warName": "w.war", "responseTimeout": -1}}, "responseTimeout of workflow w: '-1' is less than 0"),
        ([], "workflows"),
    ],
)
def test_what_is_wrong_with_a_workflow_is_named(workflows: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(json.dumps({"name": "f", "models": {}, "workflows": workflows}))


def test_the_log_names_what_is_resumed() -> None:
    model = SnapshotModel(name="m", version="1.0", default=True, mar_name="m.mar")
    workflow = SnapshotWorkflow(name="w", war_name="w.war")

    assert describe(ModelSnapshot((model,), workflows=(workflow,))) == "m/1.0, workflow w"
    assert describe(ModelSnapshot(())) == "none"
    assert describe(ModelSnapshot((model,) * 12)).endswith(" and 2 more")
