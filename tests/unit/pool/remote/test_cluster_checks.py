from __future__ import annotations

from importlib import metadata

import pytest

from stoker.errors import ConfigurationError
from stoker.ipc.driver_messages import Connected
from stoker.pool.remote import cluster_checks


def cluster(*apis: str, tokens: bool = False) -> Connected:
    return Connected(address="10.0.0.1", nodes=1, ray="2.60.0", apis=list(apis), tokens=tokens)


@pytest.mark.parametrize("apis", [["10.0.0.1:8265"], ["127.0.0.1:8265", "10.0.0.2:52365"], ["http://head:8265"]])
def test_a_jobs_api_that_others_reach_without_a_token_is_refused(apis: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"CVE-2023-48022.*RAY_AUTH_MODE=token"):
        cluster_checks.check_apis(cluster(*apis))


@pytest.mark.parametrize(
    "good", [cluster(), cluster("127.0.0.1:8265", "[::1]:52365"), cluster("10.0.0.1:8265", tokens=True)]
)
def test_one_that_only_this_machine_reaches_or_that_asks_for_tokens_is_not(good: Connected) -> None:
    cluster_checks.check_apis(good)


@pytest.mark.parametrize("version", ["2.54.0", "2.60.0", "3.0.0rc1"])
def test_a_ray_that_is_new_enough_is_taken(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: version)
    cluster_checks.check_installed()


def test_an_older_ray_and_none_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "2.9.3")
    with pytest.raises(ConfigurationError, match=r"2\.54 or newer: pip install 'stoker\[ray\]'; this is 2\.9\.3"):
        cluster_checks.check_installed()

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'stoker\[ray\]'"):
        cluster_checks.check_installed()
