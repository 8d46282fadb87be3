"""What of a log4j2 file counts: the levels of TorchServe's loggers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stoker.telemetry import log4j
from stoker.telemetry.log4j import LogLevels

OFF = logging.CRITICAL + 10


def loggers(text: str) -> str:
    return f'<?xml version="1.0"?><Configuration><Appenders/><Loggers>{text}</Loggers></Configuration>'


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ('<Root level="info"/>', LogLevels()),
        ('<Root level="warn"/>', LogLevels(*[logging.WARNING] * 5)),
        ('<AsyncRoot level="WARN"/>', LogLevels(*[logging.WARNING] * 5)),
        (
            '<Logger name="ACCESS_LOG" level="off"/><Logger name="TS_METRICS" level="error"/><Root level="info"/>',
            LogLevels(access=OFF, ts_metrics=logging.ERROR),
        ),
        (
            '<Logger name="org.pytorch.serve" level="debug"/><asynclogger name="MODEL_LOG" level="fatal"/>',
            LogLevels(server=logging.DEBUG, model=logging.CRITICAL),
        ),
        ('<Root level="warn"/><Logger name="MODEL_METRICS" level="info"/>', LogLevels(*[logging.WARNING] * 4)),
        ('<Root level="${env:LEVEL}"/>', LogLevels()),
    ],
)
def test_a_logger_has_its_own_level_or_that_of_the_root(text: str, levels: LogLevels, tmp_path: Path) -> None:
    path = tmp_path / "log4j2.xml"
    path.write_text(loggers(text))
    found, remark = log4j.read(path)
    assert found == levels
    assert "appenders" in remark


@pytest.mark.parametrize(
    ("logger", "hidden"),
    [
        ('<Logger name="ACCESS_LOG" additivity="false" level="info"><AppenderRef ref="f"/></Logger>', True),
        ('<Logger name="ACCESS_LOG" additivity="False" level="info"/>', True),
        ('<Logger name="ACCESS_LOG" additivity="false" level="info"><AppenderRef ref="STDOUT"/></Logger>', False),
        ('<Logger name="ACCESS_LOG" level="info"><AppenderRef ref="f"/></Logger>', False),
        ('<Logger name="MODEL_LOG" additivity="false" level="info"/>', False),
    ],
)
def test_additivity_keeps_requests_and_metrics_off_the_console(logger: str, hidden: bool, tmp_path: Path) -> None:
    path = tmp_path / "log4j2.xml"
    path.write_text(loggers(logger).replace("<Appenders/>", '<Appenders><Console name="STDOUT"/></Appenders>'))
    levels, remark = log4j.read(path)
    assert levels.hidden == ({"ACCESS_LOG"} if hidden else set())
    assert ("ACCESS_LOG is not on the console (additivity)" in remark) is hidden


def test_the_remark_says_what_counts_and_what_does_not(tmp_path: Path) -> None:
    path = tmp_path / "log4j2.xml"
    path.write_text(loggers('<Logger name="ACCESS_LOG" level="warn"/><Logger name="io.netty" level="error"/>'))
    _, remark = log4j.read(path)
    assert "access log WARN" in remark
    assert "server INFO" in remark
    assert "and the loggers io.netty have no effect" in remark


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("rootLogger.level = warn", "only log4j2's XML form is read"),
        ("<Configuration><Loggers>", "no element found"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><Configuration/>', "document types and entities are not read"),
        ("", "only log4j2's XML form is read"),
    ],
)
def test_a_file_that_cannot_be_read_has_no_effect_and_that_is_logged(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "log4j2.xml"
    path.write_text(content)
    levels, remark = log4j.read(path)
    assert levels == LogLevels()
    assert reason in remark


@pytest.mark.parametrize(
    ("vmargs", "path"),
    [
        ("-Xmx2g -Dlog4j.configurationFile=file:///etc/log4j2.xml -XX:+UseG1GC", "/etc/log4j2.xml"),
        ("-Dlog4j2.configurationFile=conf/log4j2.xml", "conf/log4j2.xml"),
        ("-Dlog4j.configurationFile=file:/a.xml", "/a.xml"),
        ("-Xmx2g -Dlog4j.debug", None),
        ("", None),
    ],
)
def test_the_file_is_found_among_the_options_of_the_jvm(vmargs: str, path: str | None) -> None:
    assert log4j.named_in(vmargs) == (None if path is None else Path(path))
