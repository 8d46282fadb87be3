from __future__ import annotations

import pytest

from stoker.registry.startup_models import models_to_load


@pytest.mark.parametrize(
    ("entry", "name", "url"),
    [
        ("a.mar", None, "a.mar"),
        ("n=a.mar", "n", "a.mar"),
        (" n = a.mar ", "n", "a.mar"),
        ("n=https://host/a.mar?x=1", "n", "https://host/a.mar?x=1"),
        ("https://host/a.mar?x=1", None, "https://host/a.mar?x=1"),
    ],
)
def test_an_entry_is_a_location_with_or_without_a_name(entry: str, name: str | None, url: str) -> None:
    (model,) = models_to_load([entry], list)

    assert (model.name, model.url) == (name, url)


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("n=https://me:pw@host/a.mar?sig=1#f", "n=https://host/a.mar?..."),
        ("https://me:pw@host/a.mar", "https://host/a.mar"),
        ("n=a.mar", "n=a.mar"),
    ],
)
def test_what_is_logged_and_reported_of_an_entry_has_no_credentials(entry: str, shown: str) -> None:
    (model,) = models_to_load([entry], list)
    assert model.text == shown


def test_all_in_any_case_means_the_whole_store() -> None:
    assert [model.url for model in models_to_load(["ALL"], lambda: ["b.mar", "c"])] == ["b.mar", "c"]


def test_nothing_given_loads_nothing_and_does_not_look_into_the_store() -> None:
    def look() -> list[str]:
        raise AssertionError("the store was listed")

    assert models_to_load([], look) == []
    assert models_to_load(["", " "], look) == []
