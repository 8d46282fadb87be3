"""Which listener serves which APIs."""

from __future__ import annotations

from dataclasses import replace

from stoker.config.address import Address
from stoker.config.settings import Settings
from stoker.frontend.http.listeners import Role, roles_by_listener

ONE, TWO = Address("http", "127.0.0.1", 1000), Address("http", "127.0.0.1", 2000)
ANY = Address("http", "127.0.0.1", 0)


def plan(**settings: object) -> dict[Address, tuple[Role, ...]]:
    return dict(roles_by_listener(replace(Settings(), **settings)))  # type: ignore[arg-type]


def test_each_api_has_its_own_listener() -> None:
    assert plan() == {
        Address("http", "127.0.0.1", 8080): (Role.INFERENCE,),
        Address("http", "127.0.0.1", 8081): (Role.MANAGEMENT,),
        Address("http", "127.0.0.1", 8082): (Role.METRICS,),
    }


def test_the_metrics_listener_can_be_left_out() -> None:
    assert Role.METRICS not in {role for roles in plan(enable_metrics_api=False).values() for role in roles}


def test_inference_and_management_at_one_address_share_a_listener_and_metrics_keep_their_own() -> None:
    found = plan(inference_address=ONE, management_address=ONE, metrics_address=TWO)
    assert found == {ONE: (Role.INFERENCE, Role.MANAGEMENT), TWO: (Role.METRICS,)}


def test_any_two_equal_addresses_are_one_listener() -> None:
    assert plan(management_address=ONE, metrics_address=ONE)[ONE] == (Role.MANAGEMENT, Role.METRICS)
    assert plan(inference_address=ONE, management_address=ONE, metrics_address=ONE) == {ONE: tuple(Role)}


def test_two_listeners_that_take_any_free_port_are_not_one() -> None:
    settings = replace(Settings(), inference_address=ANY, management_address=ANY, metrics_address=ANY)
    assert [roles for _, roles in roles_by_listener(settings)] == [(role,) for role in Role]
