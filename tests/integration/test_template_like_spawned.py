"""A forked worker is as good as a spawned one: what is tested with spawned workers holds for forked ones, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from pool_kit import running
from template_kit import fake_torch, only_forked  # noqa: F401 - fixtures
from tests.integration.test_pool_deaths import *  # noqa: F403
from tests.integration.test_pool_loads import (  # noqa: F401
    test_a_load_that_takes_too_long_is_ended,
    test_a_model_that_is_repaired_serves_after_the_next_try,
    test_a_worker_that_exits_at_import_does_not_spin,
    test_an_exception_in_initialize_is_the_failure_of_the_slot_and_of_the_pool,
)
from tests.integration.test_pool_output import *  # noqa: F403
from tests.integration.test_pool_scaling import *  # noqa: F403

from stoker.pool.forking import templates

pytestmark = pytest.mark.usefixtures("only_forked")


async def test_these_workers_are_forked(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as kit:
        (template,) = templates._templates.values()
        assert {await kit.ask("ppid"), await kit.ask("ppid")} == {str(template.pid)}
