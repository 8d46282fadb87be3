from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from stoker.migrate import workflows
from stoker.migrate.archives import Contents
from stoker.migrate.findings import Finding, Verdict

SPEC = "models: {m: {url: m.mar}}\ndag: {pre: [m]}"


def contents(files: Mapping[str, str] | None = None, *, without: str = "", **workflow: str) -> Contents:
    entries = {"workflowName": "w", "specFile": "w.yaml", "handler": "f.py", **workflow}
    manifest = json.dumps({"createdOn": "x", "archiverVersion": "1", "workflow": entries})
    everything = {"WAR-INF/MANIFEST.json": manifest, "w.yaml": SPEC, "f.py": "x = 1", **(files or {})}
    texts = {name: text.encode() for name, text in everything.items() if name != without}
    return Contents(names=frozenset(texts), texts=texts)


def check(found: Contents) -> list[tuple[Verdict, str, str]]:
    return [(one.verdict, one.text, one.where) for one in workflows.check("w.war", found, {"m.mar"})]


def test_a_workflow_that_is_served_as_it_is_has_one_finding() -> None:
    assert workflows.check("w.war", contents(), {"m.mar"}) == [Finding("workflows", "w.war", Verdict.SAME)]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (contents(without="WAR-INF/MANIFEST.json"), "Workflow name is not defined."),
        (contents(workflowName="a b"), "Workflow name contains special characters: a b"),
        (contents(without="w.yaml"), "The archive has no file w.yaml."),
        (contents(without="f.py"), "The archive has no file f.py."),
        (contents({"w.yaml": "dag: {}"}), "Invalid workflow specification: models is missing or empty"),
        (contents({"w.yaml": "models: {}\ndag: {a: [a]}"}), "Self loop exception"),
    ],
)
def test_what_registration_would_refuse_is_unsupported(found: Contents, text: str) -> None:
    assert check(found) == [(Verdict.UNSUPPORTED, f"It cannot be registered: {text}", "")]


def test_a_model_that_is_not_in_the_store_is_unsupported_unless_it_is_fetched() -> None:
    spec = "models: {a: {url: gone.mar}, b: {url: 'https://host.example/b.mar'}}\ndag: {a: [b]}"
    assert check(contents({"w.yaml": spec})) == [
        (Verdict.UNSUPPORTED, "The model of node a is not in the model store: gone.mar.", "")
    ]


def test_functions_are_checked_as_handlers_are_and_warnings_are_reported() -> None:
    spec = "models: {m: {url: m.mar}, batch_size: 3}\ndag: {m: []}"
    assert check(contents({"w.yaml": spec, "f.py": "from ts.nowhere import x"})) == [
        (
            Verdict.CHANGED,
            "With a warning: models.batch_size is unknown and has no effect; did you mean batch-size?",
            "w.yaml",
        ),
        (
            Verdict.UNSUPPORTED,
            "It imports ts.nowhere.x, which stoker's package ts does not have: remove that import.",
            "f.py, line 1",
        ),
    ]
