"""What settings mean for the border to remote workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.config import address
from stoker.config.settings import Settings
from stoker.ipc.driver_messages import Connected
from stoker.pool.remote.border import Border
from stoker.server_options import _border


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
