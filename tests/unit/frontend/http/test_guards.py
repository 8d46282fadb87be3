"""Requests that a browser could have been tricked into."""

from __future__ import annotations

import pytest

from stoker.errors import CallerRefused
from stoker.frontend.http.guards import BrowserGuard

HERE = "127.0.0.1:8081"
UI = "https://ui.example"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"


def passes(guard: BrowserGuard, **headers: str | None) -> bool:
    given = {"host": HERE, "origin": None, "fetch_site": None, "agent": None, **headers}
    try:
        guard.check(**given)
    except CallerRefused:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "127.0.0.1:8081",
        "127.0.0.1",
        "localhost:8081",
        "LOCALHOST",
        "localhost.",
        "[::1]:8081",
        "10.1.2.3:8081",
        "models.localhost:8081",
        "this-machine:8081",
        "Models.Example.Org",
    ],
)
def test_programs_reach_the_server_by_address_localhost_and_its_own_names(host: str | None) -> None:
    assert passes(BrowserGuard(hosts=["this-machine", "models.example.org"]), host=host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "a b", "@"],
)
def test_a_name_that_is_not_the_servers_is_refused(host: str) -> None:
    """It may have been made to resolve to this machine a moment ago."""
    assert not passes(BrowserGuard(hosts=["this-machine"]), host=host)


def test_a_server_that_others_reach_holds_only_browsers_to_the_list_of_names() -> None:
    """Its clients know it by names of their network, as in containers."""
    guard = BrowserGuard(local=False)
    assert passes(guard, host="torchserve:8081", agent="curl/8.5.0")
    assert not passes(guard, host="torchserve:8081", agent=BROWSER)
    assert not passes(guard, host="torchserve:8081", origin="http://torchserve:8081")
    assert not passes(guard, host="torchserve:8081", fetch_site="same-origin")
    assert passes(BrowserGuard(local=False, hosts=["torchserve"]), host="torchserve:8081", agent=BROWSER)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://127.0.0.1:3000", "http://localhost:8081", "http://[::1", "file://"],
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    """Also pages that another port of this machine serves."""
    assert not passes(BrowserGuard(), origin=origin)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8081", HERE),
        ("http://localhost:8081", "localhost:8081"),
        ("https://localhost", "localhost"),
        ("https://localhost", "localhost:443"),
        ("http://[::1]:8081", "[::1]:8081"),
    ],
)
def test_the_servers_own_origin_is_served(origin: str, host: str) -> None:
    assert passes(BrowserGuard(), origin=origin, host=host)


@pytest.mark.parametrize("origins", [UI, f"{UI}/", f"http://other.example, {UI.upper()}", "*"])
def test_a_configured_origin_is_served_across_sites(origins: str) -> None:
    assert passes(BrowserGuard(origins=origins), origin=UI, fetch_site="cross-site", agent=BROWSER)


def test_configuring_one_origin_lets_no_other_in() -> None:
    assert not passes(BrowserGuard(origins=UI), origin="https://evil.example")
    assert not passes(BrowserGuard(origins=UI), origin="")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", "something-new"])
def test_what_another_sites_page_makes_a_browser_ask_is_refused(site: str) -> None:
    """As with an image or a link, which carry no Origin."""
    assert not passes(BrowserGuard(), fetch_site=site)
    assert not passes(BrowserGuard(origins="*"), fetch_site=site)


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_pages_of_the_server_and_typed_addresses_are_served(site: str) -> None:
    assert passes(BrowserGuard(), fetch_site=site, agent=BROWSER)
