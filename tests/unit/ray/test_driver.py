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
