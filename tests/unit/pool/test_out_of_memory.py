"""The kernel's counters of processes that it killed for memory, as files in a false root."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.pool.out_of_memory import MemoryKills

VERSION_1 = "9:name=systemd:/\n4:cpu,memory:/jobs/a\n0::/\n"


def write(root: Path, file: str, text: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


@pytest.fixture
def vmstat(tmp_path: Path) -> Path:
    write(tmp_path, "proc/vmstat", "nr_free_pages 1\noom_kill 7\n")
    return tmp_path


def test_without_any_counter_there_were_no_kills(tmp_path: Path) -> None:
    assert MemoryKills(tmp_path).count() == 0
    assert not MemoryKills(tmp_path).explain(0)


def test_without_control_groups_the_machines_counter_counts(vmstat: Path) -> None:
    assert MemoryKills(vmstat).count() == 7


@pytest.mark.parametrize(
    ("groups", "file", "text"),
    [
        ("0::/system/stoker\n", "sys/fs/cgroup/system/stoker/memory.events", "low 0\noom 9\noom_kill 3\n"),
        ("0::/system/stoker\n", "sys/fs/cgroup/memory.events", "oom_kill 3\noom_group_kill 0\n"),
        (VERSION_1, "sys/fs/cgroup/memory/jobs/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
        (VERSION_1, "sys/fs/cgroup/memory/memory.oom_control", "oom_kill 3\n"),
    ],
)
def test_the_counter_of_the_own_control_group_comes_first(vmstat: Path, groups: str, file: str, text: str) -> None:
    write(vmstat, "proc/self/cgroup", groups)
    write(vmstat, file, text)
    assert MemoryKills(vmstat).count() == 3


@pytest.mark.parametrize("text", ["", "oom 1\n", "oom_kill many\n", "oom_kill\n"])
def test_a_counter_that_does_not_say_is_passed_over(vmstat: Path, text: str) -> None:
    write(vmstat, "proc/self/cgroup", "0::/\nnonsense\n")
    write(vmstat, "sys/fs/cgroup/memory.events", text)
    assert MemoryKills(vmstat).count() == 7


def test_each_kill_explains_one_death_since(vmstat: Path) -> None:
    kills = MemoryKills(vmstat)
    born = kills.count()
    assert not kills.explain(born), "nothing was killed since"
    write(vmstat, "proc/vmstat", "oom_kill 9\n")
    assert kills.explain(born)
    assert kills.explain(born)
    assert not kills.explain(born), "there were two kills, and three deaths"
    assert not kills.explain(9), "before this one was born"
