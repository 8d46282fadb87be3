"""Checks the settings of a deployment: the lines of its properties file and its TS_ variables. PURE.

The table of settings says what each key means here; `_JUDGED` adds what an operator should know about some values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stoker.config import properties, security
from stoker.config.load import Given, from_environment, hint
from stoker.config.rows import Origin, Row
from stoker.config.settings import ROWS, Settings
from stoker.errors import ConfigurationError
from stoker.migrate.findings import Finding, Verdict

Judgement = tuple[Verdict, str]

_SAME: Judgement = (Verdict.SAME, "")
_STANDARD_KEYSTORES = ("pkcs12", "p12", "pfx")


@dataclass(frozen=True, slots=True)
class Checked:
    """``settings``: what the server would use, without values that it would refuse. ``given``: the texts."""

    settings: Settings
    findings: tuple[Finding, ...]
    given: Mapping[str, Given] = field(default_factory=dict)


def check(entries: Sequence[properties.Entry], *, file: str | None, environment: Mapping[str, str]) -> Checked:
    """Checks the settings. ``file``: name of the properties file; None: there is none."""
    area = file or "settings"
    given, findings = _from_file(entries, area, environment)
    from_variables = {
        key: value for key, value in from_environment(environment, given).items() if value.where.startswith("TS_")
    }
    given |= from_variables
    values: dict[str, Any] = {}
    for key, value in given.items():
        finding, parsed = _value(ROWS[key], value, area)
        findings.append(finding)
        if finding.verdict is not Verdict.UNSUPPORTED and ROWS[key].field:
            values[ROWS[key].field] = parsed
    settings = Settings(**values)
    findings += _check_defaults(settings, given, area)
    findings += _check_reachability(settings, given, environment, file is not None)
    findings += _other_variables(environment, {value.where for value in from_variables.values()})
    return Checked(settings, tuple(findings), given)


# ------------------------------------------------------------------------------------------ where from


_OVERRIDING = {row.env for row in ROWS.values() if row.env is not None}
"""Variables that may take the place of a setting."""


def _from_file(
    entries: Sequence[properties.Entry], area: str, environment: Mapping[str, str]
) -> tuple[dict[str, Given], list[Finding]]:
    given: dict[str, Given] = {}
    findings: list[Finding] = []
    for entry in entries:
        where = f"line {entry.line}"
        row = ROWS.get(entry.key)
        if row is None or row.origin is Origin.ENVIRONMENT:
            text = f"Not a setting: TorchServe ignores it silently, stoker with a warning.{hint(entry.key, ROWS)}"
            findings.append(Finding(area, entry.key, Verdict.CHANGED, text, where))
            continue
        try:
            given[entry.key] = Given(properties.expand(entry.value, environment), where)
        except ValueError as error:
            text = f"The start stops, as in TorchServe: {error}. Set it, or name the variables with --env-file."
            findings.append(Finding(area, entry.key, Verdict.UNSUPPORTED, text, where))
    return given, findings


def _other_variables(environment: Mapping[str, str], counted: set[str]) -> Iterator[Finding]:
    for name in sorted(environment):
        if name in _VARIABLES:
            yield Finding("environment", name, *_VARIABLES[name])
        elif name in _OVERRIDING and name.startswith("TS_") and name not in counted:
            text = "Ignored, as in TorchServe: enable_envvars_config (or use_env_allowed_urls) is not true."
            yield Finding("environment", name, Verdict.SAME, text)


_VARIABLES: Mapping[str, Judgement] = {
    "TS_CONFIG_FILE": _SAME,
    "TEMP": _SAME,
    "LOG_LOCATION": _SAME,
    "METRICS_LOCATION": _SAME,
    "JAVA_HOME": (Verdict.CHANGED, "No effect: there is no Java."),
    "JAVA_OPTS": (Verdict.CHANGED, "No effect: there is no Java."),
    "SM_TELEMETRY_LOG": (Verdict.CHANGED, "No effect: telemetry lines are not written."),
    "TS_BENCHMARK": (Verdict.CHANGED, "No effect: use py-spy, or ENABLE_TORCH_PROFILER."),
}


# -------------------------------------------------------------------------------------------- one value


def _value(row: Row, given: Given, area: str) -> tuple[Finding, Any]:
    where = "" if given.where == row.env else given.where
    place = "environment" if given.where == row.env else area
    item = given.where if given.where == row.env else row.key
    try:
        parsed = row.parse(given.text)
    except ValueError as error:
        text = f"The start stops: {error}. Correct the value."
        return Finding(place, item, Verdict.UNSUPPORTED, text, where), None
    return Finding(place, item, *_judged(row, parsed), where), parsed


def _judged(row: Row, parsed: Any) -> Judgement:
    judge = _JUDGED.get(row.key)
    if judge is not None:
        return judge(parsed)
    if row.unused is None:
        return _SAME
    verdict = Verdict.SAME if _is_default(row, parsed) else Verdict.CHANGED
    return verdict, f"No effect: {row.unused}."


def _is_default(row: Row, parsed: Any) -> bool:
    if parsed is None:
        return True
    return row.default_text != "-" and bool(row.parse(row.default_text) == parsed)


def _vmargs(parsed: str | None) -> Judgement:
    text = "No effect: there is no Java."
    if "log4j" in (parsed or ""):
        text += " Of the log4j2 file that it names, only the levels take effect, not its appenders, files and patterns."
    return Verdict.CHANGED, text


def _keystore_type(parsed: str | None) -> Judgement:
    if parsed is None or parsed.lower() in _STANDARD_KEYSTORES:
        return _SAME
    return Verdict.UNSUPPORTED, (
        "Only PKCS12 can be read: convert the file with "
        "keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype PKCS12."
    )


def _models(parsed: Any) -> Judgement:
    ignored = {name for versions in parsed.values() for values in versions.values() for name in values.ignored}
    if not ignored:
        return _SAME
    return Verdict.SAME, (
        f"Ignored, as in TorchServe, with a warning: {', '.join(sorted(ignored))}. "
        "What a model needs of these belongs in its model-config.yaml."
    )


def _snapshot(parsed: Any) -> Judgement:
    if parsed is None:
        return _SAME
    ignored = f" Ignored, with a warning: {', '.join(parsed.ignored)}." if parsed.ignored else ""
    return Verdict.CHANGED, (
        f"Its models are loaded; one whose archive is missing is skipped, and the server starts.{ignored}"
    )


def _if_set(verdict: Verdict, text: str) -> Callable[[Any], Judgement]:
    return lambda parsed: (verdict, text) if parsed else _SAME


def _always(verdict: Verdict, text: str) -> Callable[[Any], Judgement]:
    return lambda _: (verdict, text)


_JUDGED: Mapping[str, Callable[[Any], Judgement]] = {
    "plugins_path": _if_set(
        Verdict.UNSUPPORTED,
        "Plug-ins are Java classes, and there is no Java. What they did must be done in a handler, a proxy or a "
        "client.",
    ),
    "version": _always(Verdict.SAME, "It only labels the file."),
    "tsConfigFile": _always(Verdict.SAME, "It only labels the file."),
    "vmargs": _vmargs,
    "model_server_home": _if_set(
        Verdict.UNSUPPORTED,
        "Workers would import TorchServe's own package ts from there. Remove it: stoker brings its own.",
    ),
    "keystore_type": _keystore_type,
    "allowed_urls": _always(
        Verdict.CHANGED,
        "The expressions mean the same. Private, loopback and link-local addresses are refused, too, "
        "unless allow_private_urls=true.",
    ),
    "models": _models,
    "debug": _if_set(
        Verdict.CHANGED,
        "The server starts the workers itself, where TorchServe waits for one on port 9000; no time limits apply.",
    ),
    "initial_worker_port": _if_set(Verdict.CHANGED, "It only numbers the workers: no port is opened for them."),
    "max_response_size": _if_set(
        Verdict.CHANGED, "An answer over it is an error for that request alone; the worker keeps running."
    ),
    "model_snapshot": _snapshot,
}
"""Checks by key, for values that need more than 'the same' or the reason in the table of settings."""


# ------------------------------------------------------------------------------------------ all together


def _check_defaults(settings: Settings, given: Mapping[str, Given], area: str) -> Iterator[Finding]:
    if "allowed_urls" not in given:
        text = (
            "TorchServe fetches archives from every http(s):// and file:// URL, stoker from https:// only. "
            "Set allowed_urls if clients register others."
        )
        yield Finding(area, "allowed_urls (not set)", Verdict.CHANGED, text)
    if settings.enable_model_api and settings.model_store != Path("/") and "allowed_model_paths" not in given:
        text = (
            "Clients of TorchServe may register directories from anywhere on the machine, clients of stoker only from "
            "model_store. Name other folders in allowed_model_paths. A path never means the archive of the same name "
            "in model_store."
        )
        yield Finding(area, "allowed_model_paths (not set)", Verdict.CHANGED, text)


def _check_reachability(
    settings: Settings, given: Mapping[str, Given], environment: Mapping[str, str], file_in_use: bool
) -> Iterator[Finding]:
    mentioned = security.mentioned_topics(given.keys(), environment)
    access = security.decide(settings, mentioned=mentioned, file_in_use=file_in_use)
    for remark in security.remarks(settings, access):
        yield Finding("access", "who can use the server", Verdict.CHANGED, f"{remark}.")
    if access.tokens and not security.has_fixed_tokens(settings):
        text = "key_file.json is written as before; the keys in it are longer (128 bits rather than 48)."
        yield Finding("access", "tokens", Verdict.CHANGED, text)
    elif not access.open_by_default:
        yield Finding("access", "tokens", Verdict.SAME)
    try:
        security.check(settings)
    except ConfigurationError as error:
        yield Finding("access", "TLS", Verdict.UNSUPPORTED, f"The start stops: {error}")
