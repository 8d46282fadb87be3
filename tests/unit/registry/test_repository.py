"""What the model repository says of models and archives."""

from __future__ import annotations

import pytest
from registry_fakes import World

from stoker import errors
from stoker.core.ports import RegisterRequest
from stoker.registry.repository import FailedLoads


async def listed(world: World) -> list[tuple[str, ...]]:
    return [tuple(entry) for entry in await world.registry.repository()]


async def test_an_archive_tells_why_it_could_not_be_loaded_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.store, "startup_names", lambda: ["a.mar", "b.mar"])
    assert await listed(world) == [("a", "", "UNAVAILABLE", "not loaded"), ("b", "", "UNAVAILABLE", "not loaded")]

    async def damaged(*_: object, **__: object) -> None:
        raise errors.ArchiveError("a.mar is no archive")

    with monkeypatch.context() as broken:
        broken.setattr(world.store, "fetch_and_unpack", damaged)
        with pytest.raises(errors.ArchiveError):
            await world.registry.register(RegisterRequest(url="a.mar"))
    assert await listed(world) == [
        ("a", "", "UNAVAILABLE", "a.mar is no archive"),
        ("b", "", "UNAVAILABLE", "not loaded"),
    ]

    await world.registry.register(RegisterRequest(url="a.mar", initial_workers=1, synchronous=True))
    assert [entry[2:] for entry in await listed(world)] == [("READY", ""), ("UNAVAILABLE", "not loaded")]
    name = (await listed(world))[0][0]
    await world.registry.unregister(name, None)
    assert ("a", "", "UNAVAILABLE", "not loaded") in await listed(world)


def test_only_the_newest_causes_are_kept() -> None:
    failed = FailedLoads()
    for number in range(1000):
        failed.note(f"{number}.mar", "x" * 5000)
    assert (failed.cause("0.mar"), len(failed.cause("999.mar"))) == ("", 1000)
    failed.forget("999.mar")
    assert failed.cause("999.mar") == ""
