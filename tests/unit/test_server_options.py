"""What settings mean for listeners, and for the border to remote workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.config import address
from stoker.config.settings import Settings
from stoker.errors import ConfigurationError
from stoker.ipc.driver_messages import Connected
from stoker.pool.remote.border import Border
from stoker.server_options import _border, check_addresses


def border(at: str, **settings: object) -> Border:
    """``at``: the address of this node in the cluster."""
    cluster = Connected(address=at, nodes=1, ray="2.60.0", apis=[], tokens=True)
    return _border(replace(Settings(), **settings), cluster)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "listens", "reached"),
    [
        ("", "10.0.0.7", "10.0.0.7"),
        ("10.1.1.1:7000", "10.1.1.1", "10.1.1.1"),
        ("0.0.0.0:7000", "0.0.0.0", "10.0.0.7"),
        ("[::]:7000", "::", "10.0.0.7"),
        ("server.example", "server.example", "server.example"),
    ],
)
def test_nodes_are_told_an_address_that_they_can_reach(setting: str, listens: str, reached: str) -> None:
    made = border("10.0.0.7", ray_border_address=address.border(setting))
    assert (made._host, made._advertise) == (listens, reached)


@pytest.mark.parametrize(
    ("at", "tls", "encrypts"),
    [("10.0.0.7", True, True), ("10.0.0.7", False, False), ("127.0.0.1", True, False), ("127.0.0.1", False, False)],
)
def test_what_leaves_the_machine_is_encrypted_unless_told_otherwise(at: str, tls: bool, encrypts: bool) -> None:
    assert (border(at, ray_border_tls=tls)._tls is not None) is encrypts


def test_listening_on_every_address_is_no_loopback() -> None:
    made = border("10.0.0.7", ray_border_address=address.border("0.0.0.0"))
    assert made._tls is not None


def listening(**places: object) -> Settings:
    parsers = {"inference_address": address.inference, "management_address": address.management}
    parsed = {name: parsers.get(name, lambda value: value)(value) for name, value in places.items()}  # type: ignore[operator]
    return replace(Settings(), **parsed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"grpc_inference_port": 7071}, "grpc_inference_port and grpc_management_port both ask for port 7071."),
        ({"grpc_inference_port": 8081}, "grpc_inference_port and management_address both ask for port 8081."),
        ({"grpc_management_port": 8082}, "grpc_management_port and metrics_address both ask for port 8082."),
        (
            {"inference_address": "https://localhost:8081"},
            "inference_address and management_address both ask for port 8081.",
        ),
        (
            {"inference_address": "http://0.0.0.0:8081"},
            "inference_address and management_address both ask for port 8081.",
        ),
        (
            {"grpc_inference_address": "unix:/s", "grpc_management_address": "unix:/s"},
            "grpc_inference_address and grpc_management_address both ask for unix:/s.",
        ),
        (
            {"grpc_inference_address": "unix:/s", "management_address": "unix:/s"},
            "grpc_inference_address and management_address both ask for unix:/s.",
        ),
    ],
)
def test_two_listeners_in_one_place_are_refused_by_the_names_of_their_settings(
    places: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        check_addresses(listening(**places))
    assert str(error.value) == f"Invalid configuration: {message}"


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"inference_address": "http://127.0.0.1:8081"},
        {"inference_address": "unix:/s", "management_address": "unix:/s"},
        {"grpc_inference_port": 0, "grpc_management_port": 0},
        {"grpc_inference_address": "10.0.0.7", "grpc_inference_port": 7071},
        {"grpc_inference_address": "unix:/s", "grpc_inference_port": 7071},
        {"grpc_inference_port": 8082, "enable_metrics_api": False},
    ],
)
def test_rest_apis_of_one_address_share_it_and_places_that_differ_are_fine(places: dict[str, object]) -> None:
    check_addresses(listening(**places))
