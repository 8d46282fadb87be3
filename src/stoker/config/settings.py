"""The settings of a server: ONE table, read once, frozen.

Each field below is a row: its property name, converter, default, unit, meaning, and who may set it.  Files, the
environment, `torchserve --print-config` and the reference in the documentation are all derived from these rows
(`ROWS`).  A field has the name of its property; times are seconds as float and end in ``_s``, sizes are bytes.
`config.load` fills the table; everyone else only reads a `Settings`.
"""

# ruff: noqa: RUF009 - `setting()` is a dataclass field specifier, as `field()` is
from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from stoker.config import address, units
from stoker.config.address import Address
from stoker.config.model_defaults import ModelDefaults, parse_models

_METADATA = "stoker.setting"


class Origin(Enum):
    """Who may give a value besides the built-in default."""

    ANY = "file, command line, TS_ environment"
    FILE = "file and command line only"
    ENVIRONMENT = "environment only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is declared of one setting. ``key``: the property name. ``env``: the variable that may override it.

    ``unused`` says why a key of TorchServe changes nothing here; such keys are accepted and named in the log.
    ``ours``: stoker's own, unknown to TorchServe.
    """

    key: str
    convert: Callable[[str], Any]
    meaning: str
    default_text: str
    unit: str = ""
    env: str | None = None
    origin: Origin = Origin.ANY
    minimum: float | None = None
    unused: str | None = None
    ours: bool = False
    field: str = ""

    @property
    def is_boolean(self) -> bool:
        return self.convert is units.boolean


def setting(
    key: str,
    convert: Callable[[str], Any],
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    env: str | None = None,
    origin: Origin = Origin.ANY,
    minimum: float | None = None,
    unused: str | None = None,
    ours: bool = False,
    factory: Callable[[], Any] | None = None,
    shown: str | None = None,
) -> Any:
    """One row. ``default`` is in the converted unit; ``factory`` makes one that depends on the machine."""
    name = env or (key.upper() if key.startswith("ts_") else f"TS_{key.upper()}")
    row = Row(
        key=key,
        convert=convert,
        meaning=meaning,
        default_text=shown if shown is not None else _default_text(default),
        unit=unit,
        env=None if origin is Origin.FILE else name,
        origin=origin,
        minimum=minimum,
        unused=unused,
        ours=ours,
    )
    if factory is not None:
        return field(default_factory=factory, metadata={_METADATA: row})
    return field(default=default, metadata={_METADATA: row})


def _default_text(default: Any) -> str:
    if default is None or default == ():
        return "-"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _path(text: str) -> Path | None:
    word = text.strip()
    return Path(word).expanduser().absolute() if word else None


def _patterns(text: str) -> tuple[str, ...]:
    """Comma-separated regular expressions; a comma inside braces or brackets belongs to the expression."""
    patterns = tuple(p for part in re.split(r",(?![^{\[]*[}\]])", text) if (p := part.strip()))
    for pattern in patterns:
        _regex(pattern)
    return patterns


def _regex(text: str) -> str | None:
    try:
        re.compile(text.strip())
    except re.error as error:
        raise ValueError(f"{text.strip()!r} is not a regular expression: {error}") from None
    return text.strip() or None


def _load_models(text: str) -> tuple[str, ...]:
    entries = units.comma_list(text)
    return ("all",) if any(entry.lower() == "all" for entry in entries) else entries


_port = units.whole_number
_NO_JVM = "it tunes the Java virtual machine or netty, and there is none"
_NO_REST = "the REST listeners are not part of this version"
_NO_TLS = "TLS is not part of this version"
_NO_METRICS = "metrics export is not part of this version"
_NO_DISTRIBUTED = "distributed workers are not part of this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Effective values; see the rows for their meaning."""

    # ------------------------------------------------------------------------------------- listeners

    inference_address: Address = setting(
        "inference_address",
        address.inference,
        Address("http", "127.0.0.1", 8080),
        "where the REST inference API listens",
    )
    management_address: Address = setting(
        "management_address",
        address.management,
        Address("http", "127.0.0.1", 8081),
        "where the REST management API listens",
    )
    metrics_address: Address = setting(
        "metrics_address", address.metrics, Address("http", "127.0.0.1", 8082), "where the metrics API listens"
    )
    grpc_inference_address: str = setting(
        "grpc_inference_address", address.host, "127.0.0.1", "host of the gRPC inference API"
    )
    grpc_inference_port: int = setting("grpc_inference_port", _port, 7070, "port of the gRPC inference API", minimum=0)
    grpc_management_address: str = setting(
        "grpc_management_address", address.host, "127.0.0.1", "host of the gRPC management API"
    )
    grpc_management_port: int = setting(
        "grpc_management_port", _port, 7071, "port of the gRPC management API", minimum=0
    )
    grpc_engine: str = setting(
        "grpc_engine",
        units.one_of("auto", "native", "grpcio"),
        "auto",
        "what speaks HTTP/2; auto takes native where every gRPC listener is loopback, else grpcio",
        ours=True,
    )
    grpc_status_codes: str = setting(
        "grpc_status_codes",
        units.one_of("correct", "torchserve"),
        "correct",
        "which column of the gRPC status tables is used",
        ours=True,
    )
    grpc_inference_max_connection_age_s: float | None = setting(
        "grpc_inference_max_connection_age_ms",
        units.milliseconds,
        None,
        "age at which gRPC inference connections are closed",
        unit="ms",
        unused="connections have no maximum age in this version",
    )
    grpc_inference_max_connection_age_grace_s: float | None = setting(
        "grpc_inference_max_connection_age_grace_ms",
        units.milliseconds,
        None,
        "grace given to calls on gRPC inference connections that are too old",
        unit="ms",
        unused="connections have no maximum age in this version",
    )
    grpc_management_max_connection_age_s: float | None = setting(
        "grpc_management_max_connection_age_ms",
        units.milliseconds,
        None,
        "age at which gRPC management connections are closed",
        unit="ms",
        unused="connections have no maximum age in this version",
    )
    grpc_management_max_connection_age_grace_s: float | None = setting(
        "grpc_management_max_connection_age_grace_ms",
        units.milliseconds,
        None,
        "grace given to calls on gRPC management connections that are too old",
        unit="ms",
        unused="connections have no maximum age in this version",
    )
    enable_grpc_ssl: bool = setting("enable_grpc_ssl", units.boolean, False, "TLS on both gRPC ports")
    private_key_file: Path | None = setting("private_key_file", _path, None, "PEM key for TLS", unused=_NO_TLS)
    certificate_file: Path | None = setting("certificate_file", _path, None, "PEM certificate for TLS", unused=_NO_TLS)
    keystore: Path | None = setting("keystore", _path, None, "key store for TLS on REST", unused=_NO_TLS)
    keystore_pass: str | None = setting(
        "keystore_pass", units.string, "changeit", "password of the key store", unused=_NO_TLS
    )
    keystore_type: str | None = setting(
        "keystore_type", units.string, "PKCS12", "type of the key store", unused=_NO_TLS
    )
    enable_metrics_api: bool = setting(
        "enable_metrics_api", units.boolean, True, "open the metrics listener", unused=_NO_REST
    )
    cors_allowed_origin: str | None = setting(
        "cors_allowed_origin", units.string, None, "CORS header of REST answers", unused=_NO_REST
    )
    cors_allowed_methods: str | None = setting(
        "cors_allowed_methods", units.string, None, "CORS header of REST answers", unused=_NO_REST
    )
    cors_allowed_headers: str | None = setting(
        "cors_allowed_headers", units.string, None, "CORS header of REST answers", unused=_NO_REST
    )
    max_request_size: int = setting(
        "max_request_size", units.size, 6553500, "largest gRPC message or REST body taken", unit="bytes", minimum=1
    )
    max_response_size: int = setting(
        "max_response_size", units.size, 6553500, "largest item of a worker's answer", unit="bytes", minimum=1
    )
    number_of_netty_threads: int = setting(
        "number_of_netty_threads", units.whole_number, 0, "frontend threads", unused=_NO_JVM
    )
    netty_client_threads: int = setting(
        "netty_client_threads", units.whole_number, 0, "threads towards the workers", unused=_NO_JVM
    )
    prefer_direct_buffer: bool = setting(
        "prefer_direct_buffer", units.boolean, False, "kind of the JVM's buffers", unused=_NO_JVM
    )
    ts_open_inference_protocol: bool = setting(
        "ts_open_inference_protocol", units.boolean, False, "the open inference protocol's services"
    )

    # ----------------------------------------------------------------------------- models and workers

    model_store: Path | None = setting("model_store", _path, None, "folder with the model archives")
    workflow_store: Path | None = setting(
        "workflow_store",
        _path,
        None,
        "folder with the workflow archives",
        unused="workflows are not part of this version",
    )
    load_models: tuple[str, ...] = setting(
        "load_models", _load_models, (), "what is loaded at start: all, or a comma list of [name=]location"
    )
    models: Mapping[str, Mapping[str, ModelDefaults]] = setting(
        "models",
        parse_models,
        None,
        "JSON: model, version, and its values for models loaded at start",
        origin=Origin.FILE,
        factory=dict,
    )
    default_workers_per_model: int = setting(
        "default_workers_per_model",
        units.whole_number,
        0,
        "workers of a model that says nothing itself; 0: one per GPU or CPU at start, none for the API",
        minimum=0,
    )
    initial_worker_port: int = setting("initial_worker_port", _port, 9000, "id of the first worker", minimum=0)
    initial_distribution_port: int = setting(
        "initial_distribution_port", _port, 29500, "first port of distributed workers", unused=_NO_DISTRIBUTED
    )
    default_response_timeout_s: float = setting(
        "default_response_timeout",
        units.number,
        120.0,
        "a worker that runs one batch for longer is restarted",
        unit="s",
        minimum=0,
    )
    default_startup_timeout_s: float = setting(
        "default_startup_timeout",
        units.number,
        120.0,
        "a worker that is not ready by then is restarted",
        unit="s",
        minimum=0,
    )
    unregister_model_timeout_s: float = setting(
        "unregister_model_timeout", units.number, 120.0, "how long unregister waits for workers", unit="s", minimum=0
    )
    worker_give_up: str = setting(
        "worker_give_up",
        units.one_of("never", "torchserve"),
        "never",
        "torchserve: a worker that failed for maxRetryTimeoutInSec stays dead, and jobs queue meanwhile",
        ours=True,
    )
    job_queue_size: int = setting(
        "job_queue_size", units.whole_number, 100, "jobs that may wait per model version", minimum=1
    )
    number_of_gpu: int | None = setting(
        "number_of_gpu", units.whole_number, None, "GPUs used, of those detected", minimum=0, shown="all detected"
    )
    default_service_handler: str | None = setting(
        "default_service_handler", units.string, None, "handler of archives without one, module[:function]"
    )
    service_envelope: str | None = setting(
        "service_envelope", units.string, None, "body, json, kserve or kservev2, around every handler"
    )
    decode_input_request: bool = setting(
        "decode_input_request", units.boolean, True, "workers decode JSON and text inputs"
    )
    limit_max_image_pixels: bool = setting(
        "limit_max_image_pixels", units.boolean, True, "vision handlers keep Pillow's limit on image size"
    )
    install_py_dep_per_model: bool = setting(
        "install_py_dep_per_model", units.boolean, False, "pip-install an archive's requirements at registration"
    )
    blacklist_env_vars: str | None = setting(
        "blacklist_env_vars", _regex, None, "variables whose whole name matches are withheld from workers"
    )
    python: str = setting(
        "python",
        units.string,
        None,
        "interpreter of the workers",
        origin=Origin.FILE,
        factory=lambda: sys.executable,
        shown="the server's own",
    )
    model_server_home: Path | None = setting(
        "model_server_home",
        _path,
        None,
        "parent folder of the ts package that workers import",
        env="TS_MODEL_SERVER_HOME",
        shown="the installation",
    )
    ts_header_key_sequence_id: str = setting(
        "ts_header_key_sequence_id", str.strip, "ts_request_sequence_id", "header that names a sequence"
    )
    ts_header_key_sequence_start: str = setting(
        "ts_header_key_sequence_start", str.strip, "ts_request_sequence_start", "header that starts a sequence"
    )
    ts_header_key_sequence_end: str = setting(
        "ts_header_key_sequence_end", str.strip, "ts_request_sequence_end", "header that ends a sequence"
    )

    # -------------------------------------------------------------------------------- streams and stop

    stream_window: int = setting(
        "stream_window",
        units.size,
        1 << 20,
        "bytes of one stream on the way to its reader",
        unit="bytes",
        minimum=1,
        ours=True,
    )
    stream_stall_timeout_s: float = setting(
        "stream_stall_timeout",
        units.number,
        30.0,
        "a stream that nobody reads for so long is ended",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    drain_timeout_s: float = setting(
        "drain_timeout",
        units.number,
        30.0,
        "how long a stop waits for requests in flight",
        unit="s",
        minimum=0,
        ours=True,
    )

    # ---------------------------------------------------------------------------------------- archives

    allowed_urls: tuple[str, ...] = setting(
        "allowed_urls", _patterns, ("https://.*",), "comma list of expressions; one must match a whole URL"
    )
    use_env_allowed_urls: bool = setting(
        "use_env_allowed_urls",
        units.boolean,
        False,
        "TS_ALLOWED_URLS may override allowed_urls",
        origin=Origin.FILE,
    )
    allow_private_urls: bool = setting(
        "allow_private_urls",
        units.boolean,
        False,
        "archives may come from private, loopback and link-local addresses",
        ours=True,
    )
    download_max_size: int = setting(
        "download_max_size", units.size, 20 << 30, "largest archive downloaded", unit="bytes", minimum=1, ours=True
    )
    download_timeout_s: float = setting(
        "download_timeout", units.number, 3600.0, "longest download of an archive", unit="s", minimum=0.001, ours=True
    )
    unpack_max_size: int = setting(
        "unpack_max_size", units.size, 100 << 30, "largest archive when unpacked", unit="bytes", minimum=1, ours=True
    )
    unpack_max_files: int = setting(
        "unpack_max_files", units.whole_number, 100_000, "most files in an archive", minimum=1, ours=True
    )
    unpack_max_ratio: int = setting(
        "unpack_max_ratio",
        units.whole_number,
        200,
        "an archive that grows by more than this factor is refused as a bomb",
        minimum=1,
        ours=True,
    )

    # ---------------------------------------------------------------------------------------- security

    disable_token_authorization: bool = setting(
        "disable_token_authorization", units.boolean, False, "requests need no token"
    )
    token_expiration_s: float = setting(
        "token_expiration_min",
        units.minutes,
        3600.0,
        "life of a token",
        unit="min",
        env="TS_TOKEN_EXPIRATION_TIME_MIN",
        minimum=0,
        unused="tokens are not part of this version",
        shown="60",
    )
    enable_model_api: bool = setting(
        "enable_model_api", units.boolean, False, "models may be registered and unregistered"
    )
    enable_envvars_config: bool = setting(
        "enable_envvars_config",
        units.boolean,
        False,
        "TS_ environment variables override file and command line",
        origin=Origin.FILE,
    )

    # -------------------------------------------------------------------------------- logs and metrics

    metrics_config: Path | None = setting(
        "metrics_config", _path, None, "YAML file that declares the metrics", shown="the packaged one"
    )
    metrics_mode: str | None = setting(
        "metrics_mode", units.string, "log", "log, prometheus or legacy", unused=_NO_METRICS
    )
    model_metrics_auto_detect: bool = setting(
        "model_metrics_auto_detect", units.boolean, False, "take metrics that are not declared", unused=_NO_METRICS
    )
    disable_system_metrics: bool = setting(
        "disable_system_metrics", units.boolean, False, "no system metrics", unused=_NO_METRICS
    )
    metric_time_interval_s: float = setting(
        "metric_time_interval",
        units.number,
        60.0,
        "pause between system metrics",
        unit="s",
        origin=Origin.FILE,
        minimum=0,
        unused=_NO_METRICS,
    )
    system_metrics_cmd: str | None = setting(
        "system_metrics_cmd",
        units.string,
        None,
        "command that prints system metrics",
        origin=Origin.FILE,
        unused=_NO_METRICS,
    )
    async_logging: bool = setting(
        "async_logging", units.boolean, False, "log from a thread", unused="logging never blocks serving here"
    )
    cpp_log_config: Path | None = setting(
        "cpp_log_config", _path, None, "log settings of the C++ backend", unused="there is no C++ backend"
    )

    # ----------------------------------------------------------------------- accepted, without a meaning here

    ipex_enable: bool = setting("ipex_enable", units.boolean, False, "TS_IPEX_ENABLE in workers")
    ipex_gpu_enable: bool = setting("ipex_gpu_enable", units.boolean, False, "TS_IPEX_GPU_ENABLE in workers")
    cpu_launcher_enable: bool = setting(
        "cpu_launcher_enable",
        units.boolean,
        False,
        "start workers through torch's CPU launcher",
        unused="the CPU launcher is not part of this version",
    )
    cpu_launcher_args: str | None = setting(
        "cpu_launcher_args",
        units.string,
        None,
        "arguments of the CPU launcher",
        unused="the CPU launcher is not part of this version",
    )
    debug: bool = setting(
        "debug", units.boolean, False, "no worker is started", unused="workers are always started by the server"
    )
    use_native_io: bool = setting(
        "use_native_io", units.boolean, True, "Unix sockets to workers", origin=Origin.FILE, unused=_NO_JVM
    )
    io_ratio: int = setting("io_ratio", units.whole_number, 50, "netty's I/O ratio", origin=Origin.FILE, unused=_NO_JVM)
    vmargs: str | None = setting("vmargs", units.string, None, "JVM options", origin=Origin.FILE, unused=_NO_JVM)
    plugins_path: str | None = setting(
        "plugins_path", units.string, None, "folder of Java plug-ins", origin=Origin.FILE, unused=_NO_JVM
    )
    model_snapshot: str | None = setting(
        "model_snapshot",
        units.string,
        None,
        "models of a snapshot",
        origin=Origin.FILE,
        unused="resuming from snapshots is not part of this version",
    )
    version: str | None = setting(
        "version",
        units.string,
        None,
        "version that wrote the file",
        origin=Origin.FILE,
        unused="it only tells who wrote the file",
    )
    tsConfigFile: str | None = setting(
        "tsConfigFile",
        units.string,
        None,
        "name of the file itself",
        origin=Origin.FILE,
        unused="it only tells the name of the file",
    )

    # --------------------------------------------------------------------------------- places on the machine

    temp_dir: Path = setting(
        "temp_dir",
        Path,
        None,
        "where archives are unpacked and the pid file lies",
        env="TEMP",
        origin=Origin.ENVIRONMENT,
        factory=lambda: Path(tempfile.gettempdir()),
        shown="the system's",
    )
    log_location: Path = setting(
        "log_location",
        Path,
        Path("logs"),
        "folder of the log files",
        env="LOG_LOCATION",
        origin=Origin.ENVIRONMENT,
    )
    metrics_location: Path = setting(
        "metrics_location",
        Path,
        Path("logs"),
        "folder of the metrics' log files",
        env="METRICS_LOCATION",
        origin=Origin.ENVIRONMENT,
    )


def _rows() -> dict[str, Row]:
    rows = {}
    for f in fields(Settings):
        declared: Row = f.metadata[_METADATA]
        assert f.default is not MISSING or f.default_factory is not MISSING
        rows[declared.key] = _named(declared, f.name)
    return rows


def _named(row: Row, name: str) -> Row:
    values = {f.name: getattr(row, f.name) for f in fields(Row)}
    return Row(**{**values, "field": name})


ROWS: Mapping[str, Row] = _rows()
"""Every setting by property name, in the order of declaration."""
