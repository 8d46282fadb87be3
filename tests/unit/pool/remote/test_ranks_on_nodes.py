from __future__ import annotations

from stoker.core.ranks import Ranks
from stoker.ipc.driver_messages import Node
from stoker.pool.remote.ranks_on_nodes import ranks_on_nodes


def node(number: int, device: str) -> Node:
    return Node(
        id=f"id-{number}",
        name=f"n{number}",
        address=f"10.0.0.{number}",
        python="3.12",
        stoker="1",
        devices={"CUDA_VISIBLE_DEVICES": device},
        port=5000 + number,
        interface=f"eth{number}" if number < 9 else "",
    )


def test_each_rank_finds_its_master_its_place_and_its_devices() -> None:
    placed = ranks_on_nodes([node(1, "3"), node(2, "0"), node(1, "5")], Ranks("tp", 3), run_id="m")
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
    assert [[each.env[name] for name in names] for each in placed] == [
        ["0", "3", "0", "2", "0", "2"],
        ["1", "3", "0", "1", "1", "2"],
        ["2", "3", "1", "2", "0", "2"],
    ]
    assert {each.env["MASTER_ADDR"] for each in placed} == {"10.0.0.1"}
    assert {each.env["MASTER_PORT"] for each in placed} == {"5001"}
    assert [each.env["GLOO_SOCKET_IFNAME"] for each in placed] == ["eth1", "eth2", "eth1"]
    assert [each.env["CUDA_VISIBLE_DEVICES"] for each in placed] == ["3,5", "0", "3,5"]
    assert [each.local_rank for each in placed] == [0, 0, 1]


def test_an_unknown_interface_is_left_to_gloo() -> None:
    assert "GLOO_SOCKET_IFNAME" not in ranks_on_nodes([node(9, "0")], Ranks("tp", 1), run_id="m")[0].env
