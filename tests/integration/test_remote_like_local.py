"""A remote worker is as good as a local one: what is tested with local workers holds for remote ones, too."""

from __future__ import annotations

import pool_kit
import pytest
from remote_kit import placed_on_nodes
from tests.integration.test_pool_deaths import (  # noqa: F401
    test_a_stopped_process_is_no_obstacle,
    test_a_worker_that_closes_its_socket_is_replaced,
    test_a_worker_that_does_not_answer_in_time_is_restarted,
    test_an_answer_given_just_before_the_death_is_delivered,
    test_children_of_a_handler_die_when_the_pool_closes,
    test_children_of_a_handler_die_with_its_worker,
    test_kill_9_of_one_worker_fails_only_the_batch_that_it_had_started,
)
from tests.integration.test_pool_loads import (  # noqa: F401
    test_a_load_that_takes_too_long_is_ended,
    test_a_model_that_does_not_fit_is_out_of_memory,
    test_an_exception_in_initialize_is_the_failure_of_the_slot_and_of_the_pool,
)
from tests.integration.test_pool_scaling import (  # noqa: F401
    test_closing_kills_what_does_not_end_within_its_grace,
    test_scaling_down_lets_the_running_batch_end,
    test_workers_that_still_load_are_ended_at_once,
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_kit, "elsewhere", placed_on_nodes)
