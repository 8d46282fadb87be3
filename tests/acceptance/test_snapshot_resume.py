"""A server that comes back with the models it had: the real command, stopped and killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchserve_kit import Place, archive, default_ports_are_free, wait_until_served
from waiting import wait_until

from stoker.client import CallError, Client, Endpoint


@pytest.fixture
def place(place: Place) -> Place:
    for name in ("echo", "other"):
        archive(place.store, name)
    return place


def snapshots(place: Place) -> list[Path]:
    return sorted((place.folder / "logs" / "config").glob("*.cfg"))


def bounds(client: Client, model: str) -> tuple[int, int]:
    (described,) = client.describe(model, timeout=30)
    return described["minWorkers"], described["maxWorkers"]


def test_models_come_back_after_a_stop_and_after_a_kill_but_not_with_ncs(place: Place) -> None:
    place.configure("load_models=echo.mar")
    place.start()
    with place.client() as client:
        wait_until_served(client, "echo")
        client.register("other.mar", model_name="second", initial_workers=1, synchronous=True, timeout=60)
    place.run("--stop")
    last = snapshots(place)[-1]
    assert last.name.endswith("-shutdown.cfg")
    assert not list(snapshots(place)[0].parent.glob(".*")), "a part of a file is left"

    text = place.start()
    assert f"Models resumed from {last.absolute()}: echo/1.0, second/1.0" in text
    assert "load_models is ignored" in text
    with place.client() as client:
        for model in ("echo", "second"):
            wait_until_served(client, model)
        assert client.predict("second", b"x", timeout=30).text == "got x"
        wait_until(lambda: snapshots(place)[-1].name.endswith("-startup.cfg"), "the start is written down")
        client.scale("second", min_workers=2, max_workers=2, timeout=30)
    wait_until(lambda: '"minWorkers"\\: 2' in snapshots(place)[-1].read_text(), "the scaling is written down")
    server = place.server()
    server.kill()
    wait_until(lambda: not server.is_running(), "the server is gone")

    place.start()
    with place.client() as client:
        wait_until_served(client, "second")
        assert bounds(client, "second") == (2, 2)
    place.run("--stop")

    before = snapshots(place)
    assert "Models resumed" not in place.start("--ncs")
    with place.client() as client:
        wait_until_served(client, "echo")
        with pytest.raises(CallError, match="not found"):
            client.describe("second", timeout=30)
    place.run("--stop")
    assert snapshots(place) == before, "and none is written"


def test_a_broken_newest_snapshot_and_a_missing_archive_do_not_prevent_the_start(place: Place) -> None:
    place.configure("load_models=all")
    place.start()
    with place.client() as client:
        wait_until_served(client, "echo")
        wait_until_served(client, "other")
    place.run("--stop")
    good = snapshots(place)[-1]
    broken = good.with_name("29990101000000000-snapshot.cfg")
    broken.write_bytes(good.read_bytes()[:-20])
    (place.store / "other.mar").unlink()

    text = place.start()

    assert f"The snapshot {broken.absolute()} cannot be used" in text
    assert f"{good.absolute()} is used in its place" in text
    with place.client() as client:
        wait_until_served(client, "echo")
        wait_until(
            lambda: "Failed to load model: other/1.0 (other.mar)" in (place.folder / "logs" / "ts_log.log").read_text(),
            "the missing archive is told",
        )
    place.run("--stop")
    assert '"other"' in snapshots(place)[-1].read_text(), "it is tried again at the next start"


def test_a_snapshot_that_is_named_counts_whole_and_no_newer_one(place: Place) -> None:
    place.configure("load_models=echo.mar")
    place.start()
    with place.client() as client:
        wait_until(lambda: bool(snapshots(place)), "the start is written down")
        (older,) = snapshots(place)
        client.register("other.mar", timeout=60)
    place.run("--stop")

    text = place.start("--ts-config", str(older.relative_to(place.folder)))
    assert f"Models resumed from {older}: echo/1.0; settings from {older}" in text
    with place.client() as client:
        wait_until_served(client, "echo")
        assert [model["modelName"] for model in client.list_models(timeout=30)["models"]] == ["echo"]
    place.run("--stop")

    older.write_bytes(older.read_bytes()[:-5])
    status, text = place.run("--start", "--model-store", "models", "--ts-config", str(older))
    assert status == 1
    assert text.startswith(f"Invalid configuration: {older}, line ") and ": model_snapshot: not valid JSON" in text
    assert text.count("\n") == 1


@pytest.mark.alone
@pytest.mark.skipif(not default_ports_are_free(), reason="another server listens on the default ports")
def test_the_quick_start_stays_open_when_it_resumes(place: Place) -> None:
    for _ in range(2):
        status, text = place.run("--start", "--model-store", "models")
        assert status == 0, text
        with Client(Endpoint()) as client:
            if "Models resumed" not in text:
                client.register("echo.mar", initial_workers=1, synchronous=True, timeout=60)
            wait_until_served(client, "echo")
            client.register("other.mar", initial_workers=0, timeout=60)
            client.unregister("other", timeout=30)
        place.run("--stop")
    assert "Models resumed" in text
