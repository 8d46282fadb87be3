"""What a start reads before it serves."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stoker.cli import lifecycle
from stoker.cli.arguments import StartOptions
from stoker.config.load import load


def level_file(folder: Path, name: str, level: str) -> Path:
    path = folder / name
    path.write_text(f'<Configuration><Loggers><Root level="{level}"/></Loggers></Configuration>')
    return path


@pytest.mark.parametrize(("flag", "level"), [(False, logging.ERROR), (True, logging.WARNING)])
def test_levels_come_from_the_flag_or_else_from_the_options_of_the_jvm(tmp_path: Path, flag: bool, level: int) -> None:
    named = level_file(tmp_path, "vmargs.xml", "error")
    given = level_file(tmp_path, "flag.xml", "warn")
    (tmp_path / "config.properties").write_text(f"vmargs=-Xmx4g -Dlog4j.configurationFile=file://{named}")
    loaded = load(arguments={}, environment={}, directory=tmp_path)
    levels, remarks = lifecycle.log_levels(StartOptions(log_config=str(given) if flag else None), loaded)
    assert levels is not None and levels.server == level
    assert str(given if flag else named) in remarks[0]
