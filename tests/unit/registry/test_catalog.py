from __future__ import annotations

import random

import pytest

from stoker import errors
from stoker.core.job import ModelKey
from stoker.registry.catalog import Catalog


class Model:
    def __init__(self, name: str, version: str) -> None:
        self.key = ModelKey(name, version)


def catalog_of(*keys: tuple[str, str]) -> Catalog[Model]:
    catalog: Catalog[Model] = Catalog()
    for key in keys:
        catalog.add(Model(*key))
    return catalog


def test_the_first_version_of_a_name_is_its_default() -> None:
    catalog = catalog_of(("m", "2.0"), ("m", "1.0"))

    assert catalog.lookup("m", None).key == ("m", "2.0")
    assert catalog.lookup("m", "").key == ("m", "2.0")
    assert catalog.lookup("m", "1.0").key == ("m", "1.0")


def test_an_unknown_name_and_an_unknown_version_are_different_errors() -> None:
    catalog = catalog_of(("m", "1.0"))

    with pytest.raises(errors.ModelVersionNotFound, match=r"^Model version: 3 does not exist for model: m$"):
        catalog.lookup("m", "3")
    for version in (None, "1.0"):
        with pytest.raises(errors.ModelNotFound, match=r"^Model not found: n$"):
            catalog.lookup("n", version)


def test_a_version_cannot_be_added_twice() -> None:
    catalog = catalog_of(("m", "1.0"))

    with pytest.raises(errors.AlreadyRegistered, match=r"^Model version 1.0 is already registered for model m$"):
        catalog.add(Model("m", "1.0"))

    assert len(catalog) == 1


def test_the_default_version_cannot_be_removed_while_others_exist() -> None:
    catalog = catalog_of(("m", "1.0"), ("m", "2.0"))

    for version in (None, "1.0"):
        with pytest.raises(errors.CannotRemoveDefault, match=r"^Cannot remove default version for model m$"):
            catalog.remove("m", version)

    assert len(catalog) == 2


def test_the_last_version_takes_the_name_with_it() -> None:
    catalog = catalog_of(("m", "1.0"), ("m", "2.0"))

    catalog.set_default("m", "2.0")
    catalog.remove("m", "1.0")
    catalog.remove("m", None)

    assert len(catalog) == 0 and catalog.defaults() == []
    with pytest.raises(errors.ModelNotFound):
        catalog.versions("m")


def test_set_default_of_an_unknown_version_has_torchserves_other_text() -> None:
    catalog = catalog_of(("m", "1.0"))

    with pytest.raises(errors.ModelVersionNotFound, match=r"^Model version 9 does not exist for model m$"):
        catalog.set_default("m", "9")
    with pytest.raises(errors.ModelNotFound):
        catalog.set_default("n", "9")


@pytest.mark.parametrize("seed", range(200))
def test_after_any_operations_every_name_has_exactly_one_default_among_its_versions(seed: int) -> None:
    dice = random.Random(seed)
    catalog: Catalog[Model] = Catalog()
    mirror: set[tuple[str, str]] = set()
    for _ in range(60):
        key = (dice.choice("ab"), dice.choice("123"))
        operation = dice.choice(("add", "remove", "default"))
        try:
            if operation == "add":
                catalog.add(Model(*key))
                mirror.add(key)
            elif operation == "remove":
                mirror.discard(tuple(catalog.remove(*key).key))
            else:
                catalog.set_default(*key)
        except errors.ServingError:
            pass
        assert {tuple(model.key) for model in catalog} == mirror
        defaults = catalog.defaults()
        assert [model.key.name for model in defaults] == sorted({name for name, _ in mirror})
        assert all(catalog.find(*model.key) is model and catalog.is_default(model) for model in defaults)
