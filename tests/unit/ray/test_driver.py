"""What the driver process sets up before Ray is imported."""

from __future__ import annotations

from stoker.ray.driver import environment_of


def test_ray_reports_nothing_to_anyone() -> None:
    assert environment_of("10.0.0.1:6379", {}) == {"RAY_USAGE_STATS_ENABLED": "0"}


def test_a_cluster_of_this_machine_is_on_loopback_and_has_a_token_of_its_own() -> None:
    first, second = environment_of("local", {}), environment_of("local", {})
    assert first["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]


def test_what_the_operator_chose_of_tokens_stays() -> None:
    assert "RAY_AUTH_TOKEN" not in environment_of("local", {"RAY_AUTH_MODE": "disabled"})


def test_a_cluster_of_this_machine_keeps_no_statistics_and_no_workers_in_stock() -> None:
    found = environment_of("local", {"RAY_event_stats": "1"})
    assert found["RAY_prestart_worker_first_driver"] == "0"
    assert found["RAY_worker_niceness"] == "0"
    assert "RAY_event_stats" not in found, "the operator's choice stays"
    assert "RAY_worker_niceness" not in environment_of("10.0.0.1:6379", {}), "that is up to who started its nodes"
