"""The settings of a server: ONE table, read once, frozen.

Each field below is a row: its property name, converter, default, unit, meaning, and who may set it.  Files, the
environment, `torchserve --print-config` and the reference in the documentation are all derived from these rows (`ROWS`,
which also has the keys of `accepted`).  A field has the name of its property; times are seconds as float and end in
``_s``, sizes are bytes.  `config.load` fills the table; everything else only reads a `Settings`.
"""

# ruff: noqa: RUF009 - `setting()` is a dataclass field specifier, as `field()` is
from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from stoker.config import address, model_snapshot, rows, units
from stoker.config.accepted import ACCEPTED
from stoker.config.address import Address
from stoker.config.model_defaults import ModelDefaults, parse_models
from stoker.config.model_snapshot import ModelSnapshot
from stoker.config.rows import Origin, Row, setting

_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Effective values; see the rows for their meaning."""

    # ------------------------------------------------------------------------------------- listeners

    inference_address: Address = setting(
        "inference_address", address.inference, Address("http", _LOOPBACK, 8080), "REST inference API"
    )
    management_address: Address = setting(
        "management_address", address.management, Address("http", _LOOPBACK, 8081), "REST management API"
    )
    metrics_address: Address = setting(
        "metrics_address", address.metrics, Address("http", _LOOPBACK, 8082), "metrics API"
    )
    enable_metrics_api: bool = setting("enable_metrics_api", units.boolean, True, "serve the metrics API")
    grpc_inference_address: str = setting(
        "grpc_inference_address", address.grpc, _LOOPBACK, "host of the gRPC inference API, or unix:/PATH"
    )
    grpc_inference_port: int = setting(
        "grpc_inference_port",
        units.whole_number,
        7070,
        "port of the gRPC inference API; 0: any free port",
        minimum=0,
        maximum=_HIGHEST_PORT,
    )
    grpc_management_address: str = setting(
        "grpc_management_address", address.grpc, _LOOPBACK, "host of the gRPC management API, or unix:/PATH"
    )
    grpc_management_port: int = setting(
        "grpc_management_port",
        units.whole_number,
        7071,
        "port of the gRPC management API; 0: any free port",
        minimum=0,
        maximum=_HIGHEST_PORT,
    )
    grpc_inference_max_connection_age_s: float | None = setting(
        "grpc_inference_max_connection_age_ms",
        units.milliseconds,
        None,
        "age at which the server asks a connection to close",
        unit="ms",
        minimum=0.001,
        shown="unlimited",
    )
    grpc_inference_max_connection_age_grace_s: float | None = setting(
        "grpc_inference_max_connection_age_grace_ms",
        units.milliseconds,
        None,
        "time for its open calls to finish after that",
        unit="ms",
        minimum=0,
        shown="unlimited",
    )
    grpc_management_max_connection_age_s: float | None = setting(
        "grpc_management_max_connection_age_ms",
        units.milliseconds,
        None,
        "age at which the server asks a connection to close",
        unit="ms",
        minimum=0.001,
        shown="unlimited",
    )
    grpc_management_max_connection_age_grace_s: float | None = setting(
        "grpc_management_max_connection_age_grace_ms",
        units.milliseconds,
        None,
        "time for its open calls to finish after that",
        unit="ms",
        minimum=0,
        shown="unlimited",
    )
    enable_grpc_ssl: bool = setting("enable_grpc_ssl", units.boolean, False, "TLS on both gRPC ports")
    private_key_file: Path | None = setting(
        "private_key_file", rows.path, None, "PEM file with the key of certificate_file, PKCS#8 or PKCS#1"
    )
    certificate_file: Path | None = setting(
        "certificate_file",
        rows.path,
        None,
        "PEM file with the certificate of https:// listeners and gRPC",
    )
    keystore: Path | None = setting(
        "keystore",
        rows.path,
        None,
        "PKCS#12 file with key and certificate; https:// listeners prefer it to the PEM files, gRPC prefers those",
    )
    keystore_pass: str = setting("keystore_pass", str, "changeit", "password of the keystore", secret=True)
    keystore_type: str = setting(
        "keystore_type", units.string, "PKCS12", "type of the keystore; only PKCS12 is supported"
    )
    client_ca_file: Path | None = setting(
        "client_ca_file",
        rows.path,
        None,
        "PEM file of authorities; TLS listeners accept only clients with a certificate signed by one of them",
        ours=True,
    )
    grpc_engine: str = setting(
        "grpc_engine",
        units.one_of("auto", "nghttp2", "grpcio", "native"),
        "auto",
        "HTTP/2 implementation; auto: nghttp2, or grpcio if the package ngh2 is missing; native: the same as nghttp2",
        ours=True,
    )
    grpc_status_codes: str = setting(
        "grpc_status_codes",
        units.one_of("correct", "torchserve"),
        "correct",
        "which gRPC status codes errors have, stoker's or TorchServe's; compatibility.md lists them",
        ours=True,
    )
    max_request_size: int = setting(
        "max_request_size", units.size, 6553500, "largest request message", unit="bytes", minimum=1
    )
    max_response_size: int = setting(
        "max_response_size",
        units.size,
        6553500,
        "largest answer to one request, or part of a stream",
        unit="bytes",
        minimum=1,
    )

    queue_full_status: int = setting(
        "queue_full_status",
        lambda text: int(units.one_of("503", "429")(text)),
        503,
        "HTTP status of a prediction when the queue is full; 429 comes with Retry-After",
        ours=True,
    )
    ts_open_inference_protocol: bool = setting(
        "ts_open_inference_protocol",
        lambda text: text.strip().lower() in ("oip", "true"),
        True,
        "true or oip: serve the open inference protocol (KServe v2), over gRPC and REST",
        always_env=True,
    )
    oip_repository_on_inference_port: bool = setting(
        "oip_repository_on_inference_port",
        units.boolean,
        False,
        "let clients of the open inference protocol list, load and unload models on the inference port too, with its "
        "token; they always may on the management port",
        ours=True,
    )
    openai_model: str | None = setting(
        "openai_model",
        units.string,
        None,
        "model, or model/version, that answers the paths /v1/... of OpenAI's API; see [llm.md](llm.md)",
        ours=True,
    )

    ts_header_key_sequence_id: str = setting(
        "ts_header_key_sequence_id",
        rows.header_name,
        "ts_request_sequence_id",
        "header, metadata entry or input that names the sequence of a request",
    )
    ts_header_key_sequence_start: str = setting(
        "ts_header_key_sequence_start",
        rows.header_name,
        "ts_request_sequence_start",
        "the same for the flag of the first request of a sequence",
    )
    ts_header_key_sequence_end: str = setting(
        "ts_header_key_sequence_end",
        rows.header_name,
        "ts_request_sequence_end",
        "the same for the flag of the last request of a sequence",
    )

    # ----------------------------------------------------------------------------- models and workers

    model_store: Path | None = setting("model_store", rows.path, None, "folder with the model archives")
    load_models: tuple[str, ...] = setting(
        "load_models", rows.model_list, (), "models to load at start: all, or a comma-separated list of [name=]location"
    )
    models: Mapping[str, Mapping[str, ModelDefaults]] = setting(
        "models",
        parse_models,
        None,
        "JSON with values per model and version, for models loaded at start",
        origin=Origin.FILE,
        factory=dict,
    )
    model_snapshot: ModelSnapshot | None = setting(
        "model_snapshot",
        model_snapshot.decode,
        None,
        "JSON written by a server: models to load instead of load_models",
        origin=Origin.FILE,
    )
    snapshots_kept: int = setting(
        "snapshots_kept",
        units.whole_number,
        100,
        "how many of its newest snapshot files the server keeps; 0: all",
        minimum=0,
        ours=True,
    )
    default_workers_per_model: int = setting(
        "default_workers_per_model",
        units.whole_number,
        0,
        "workers of a model that sets none; 0: one per GPU or CPU for models loaded at start, none over the API",
        minimum=0,
    )
    autoscaling: str = setting(
        "autoscaling",
        units.one_of("on", "off"),
        "off",
        "let the load decide how many workers a model has between minWorkers and maxWorkers, unless its key autoscale "
        "says otherwise",
        ours=True,
    )
    memory_low_percent: float = setting(
        "memory_low_percent",
        units.number,
        10.0,
        "memory counts as short when less than this is available, in percent of the machine's or the container's; see "
        "the key unloadAfterMs",
        minimum=0,
        maximum=100,
        ours=True,
    )
    debug: bool = setting(
        "debug",
        units.boolean,
        False,
        "for debuggers: no response or start-up timeout, one worker per model unless it sets another number",
    )
    worker_poll_us: int = setting(
        "worker_poll_us",
        units.whole_number,
        400,
        "how long a worker polls for its next batch before it sleeps, if batches arrive that fast and a core is free, "
        "and the server for a lone answer, at most 200; 0: sleep at once",
        unit="us",
        minimum=0,
        maximum=10_000,
        ours=True,
    )
    initial_worker_port: int = setting(
        "initial_worker_port", units.whole_number, 9000, "number of the first worker", minimum=0
    )
    default_response_timeout_s: float = setting(
        "default_response_timeout",
        units.number,
        120.0,
        "longest time for one batch; then the worker is restarted",
        unit="s",
        minimum=0,
    )
    default_startup_timeout_s: float = setting(
        "default_startup_timeout",
        units.number,
        120.0,
        "longest time for a worker to become ready; then it is restarted",
        unit="s",
        minimum=0,
    )
    unregister_model_timeout_s: float = setting(
        "unregister_model_timeout", units.number, 120.0, "how long unregistering waits for workers", unit="s", minimum=0
    )
    worker_give_up: str = setting(
        "worker_give_up",
        units.one_of("never", "torchserve"),
        "never",
        "torchserve: stop restarting a worker that has failed for maxRetryTimeoutInSec, and queue jobs meanwhile",
        ours=True,
    )
    worker_template: bool = setting(
        "worker_template",
        units.boolean,
        True,
        "fork further workers of models that import torch from a process that already has; costs that process's memory",
        ours=True,
    )
    job_queue_size: int = setting(
        "job_queue_size", units.whole_number, 100, "most waiting requests per model version", minimum=1
    )
    number_of_gpu: int | None = setting(
        "number_of_gpu", units.whole_number, None, "most GPUs to use", minimum=0, shown="all detected"
    )
    default_service_handler: str | None = setting(
        "default_service_handler", units.string, None, "handler for archives that name none, module[:function]"
    )
    service_envelope: str | None = setting(
        "service_envelope", units.string, None, "envelope around every handler: body, json, kserve or kservev2"
    )
    decode_input_request: bool = setting(
        "decode_input_request", units.boolean, True, "decode JSON and text inputs in the worker"
    )
    limit_max_image_pixels: bool = setting(
        "limit_max_image_pixels", units.boolean, True, "keep Pillow's limit on image size in vision handlers"
    )
    install_py_dep_per_model: bool = setting(
        "install_py_dep_per_model", units.boolean, False, "install an archive's requirements with pip at registration"
    )
    blacklist_env_vars: str | None = setting(
        "blacklist_env_vars", rows.regex, None, "expression; workers do not inherit variables whose whole name matches"
    )
    ipex_enable: bool = setting("ipex_enable", units.boolean, False, "TS_IPEX_ENABLE for the workers")
    ipex_gpu_enable: bool = setting("ipex_gpu_enable", units.boolean, False, "TS_IPEX_GPU_ENABLE for the workers")
    python: str = setting(
        "python",
        lambda text: text.strip() or sys.executable,
        None,
        "Python interpreter of the workers",
        origin=Origin.FILE,
        factory=lambda: sys.executable,
        shown="the server's own",
    )
    model_server_home: Path | None = setting(
        "model_server_home",
        rows.path,
        None,
        "parent folder of the ts package that workers import",
        always_env=True,
        shown="the installation",
    )

    # ----------------------------------------------------------------------------------- workers on other machines

    worker_placement: str = setting(
        "worker_placement",
        units.one_of("local", "ray"),
        "local",
        "where workers run unless their model's key placement says otherwise: on this machine, or on nodes of a Ray "
        "cluster; see [ray.md](ray.md)",
        ours=True,
    )
    ray_address: str | None = setting(
        "ray_address",
        address.ray,
        None,
        "Ray cluster that this machine is a node of: HOST:PORT, auto (the one that runs here), or local (one is "
        "started for this machine alone)",
        shown="auto with worker_placement=ray",
        ours=True,
    )
    ray_border_address: Address | None = setting(
        "ray_border_address",
        address.border,
        None,
        "HOST or HOST:PORT that workers on other nodes connect to; 0.0.0.0 listens on all addresses and tells nodes "
        "this one's",
        shown="this node's address in the cluster, any free port",
        ours=True,
    )
    ray_border_tls: bool = setting(
        "ray_border_tls",
        units.boolean,
        True,
        "encrypt what passes between the server and workers on other nodes (on loopback only with a certificate file); "
        "false: only in a network that nobody else can read or write",
        ours=True,
    )
    ray_border_certificate_file: Path | None = setting(
        "ray_border_certificate_file",
        rows.path,
        None,
        "PEM file with the certificate that workers on other nodes see, and its chain; it must hold for the host of "
        "ray_border_address",
        shown="one is made at start",
        ours=True,
    )
    ray_border_private_key_file: Path | None = setting(
        "ray_border_private_key_file", rows.path, None, "PEM file with the key of that certificate", ours=True
    )
    ray_border_ca_file: Path | None = setting(
        "ray_border_ca_file",
        rows.path,
        None,
        "PEM file of the authority that those workers verify the certificate with",
        ours=True,
    )
    ray_archive_cache: str | None = setting(
        "ray_archive_cache",
        units.string,
        None,
        "folder on each node that keeps the archives of its workers",
        shown="a private one of the user that runs Ray",
        ours=True,
    )
    ray_archive_cache_size: int = setting(
        "ray_archive_cache_size",
        units.size,
        50 << 30,
        "most bytes of archives that a node keeps; those in use are never removed",
        unit="bytes",
        minimum=1,
        ours=True,
    )
    ray_public_jobs_api: str = setting(
        "ray_public_jobs_api",
        units.one_of("refuse", "allow"),
        "refuse",
        "refuse: do not start where the jobs API of Ray's dashboard or of its agents, which runs any code that it is "
        "sent, listens on more than loopback without tokens",
        ours=True,
    )

    # ---------------------------------------------------------------------------------------- workflows

    workflow_store: Path | None = setting(
        "workflow_store", rows.path, None, "folder with the workflow archives", shown="the model store"
    )
    load_workflows: tuple[str, ...] = setting(
        "load_workflows",
        rows.model_list,
        (),
        "workflows to load at start, after the models: all, or a comma-separated list of [name=]location",
        ours=True,
    )
    workflow_api: str = setting(
        "workflow_api",
        units.one_of("correct", "torchserve"),
        "correct",
        "torchserve: clients may register and unregister workflows whatever enable_model_api says",
        ours=True,
    )
    workflow_status_codes: str = setting(
        "workflow_status_codes",
        units.one_of("correct", "torchserve"),
        "correct",
        "torchserve: a failed request of a workflow is answered with status 500 and no cause over REST",
        ours=True,
    )

    # -------------------------------------------------------------------------------- streams and stop

    stream_window: int = setting(
        "stream_window",
        units.size,
        1 << 20,
        "most bytes of one stream in transit to its reader",
        unit="bytes",
        minimum=1,
        ours=True,
    )
    stream_stall_timeout_s: float = setting(
        "stream_stall_timeout",
        units.number,
        30.0,
        "how long a stream may stay unread before it is ended",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    stream_min_bytes_per_second: int = setting(
        "stream_min_bytes_per_second",
        units.size,
        0,
        "slowest reading of a stream, averaged over stream_stall_timeout, before it is ended; 0: no limit",
        unit="bytes",
        minimum=0,
        ours=True,
    )
    drain_timeout_s: float = setting(
        "drain_timeout",
        units.number,
        30.0,
        "how long a stop waits for accepted requests",
        unit="s",
        minimum=0,
        ours=True,
    )

    # ------------------------------------------------------------------------------------- connections

    max_connections: int = setting(
        "max_connections",
        units.whole_number,
        10_000,
        "most connections per listener, from their accept on; fewer where ulimit -n is low; more are closed at once",
        minimum=1,
        ours=True,
    )
    tls_handshake_timeout_s: float = setting(
        "tls_handshake_timeout",
        units.number,
        20.0,
        "how long a TLS handshake may take, from the connection on",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    first_request_timeout_s: float = setting(
        "first_request_timeout",
        units.number,
        60.0,
        "how long a new connection may stay without a request",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    idle_timeout_s: float = setting(
        "idle_timeout",
        units.number,
        600.0,
        "how long a connection may stay idle between requests",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    request_head_timeout_s: float = setting(
        "request_head_timeout",
        units.number,
        30.0,
        "how long the head of a REST request may take to arrive",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    client_timeout_s: float = setting(
        "client_timeout",
        units.number,
        60.0,
        "how long a client may neither send the rest of its request nor read its answer before it is disconnected",
        unit="s",
        minimum=0.001,
        ours=True,
    )
    max_request_head_size: int = setting(
        "max_request_head_size",
        units.size,
        64 << 10,
        "largest head of a REST request",
        unit="bytes",
        minimum=256,
        ours=True,
    )
    max_request_headers: int = setting(
        "max_request_headers", units.whole_number, 1000, "most headers of a REST request", minimum=1, ours=True
    )
    grpc_max_concurrent_calls: int = setting(
        "grpc_max_concurrent_calls",
        units.whole_number,
        1024,
        "most open calls per gRPC connection; client libraries wait before starting more",
        minimum=1,
        ours=True,
    )
    grpc_max_metadata_size: int = setting(
        "grpc_max_metadata_size",
        units.size,
        16 << 10,
        "largest metadata of one gRPC call; more is refused with RESOURCE_EXHAUSTED",
        unit="bytes",
        minimum=256,
        ours=True,
    )
    max_buffered_request_bytes: int = setting(
        "max_buffered_request_bytes",
        units.size,
        0,
        "most bytes of requests being received, over all connections; a further one waits, and is refused once what "
        "waiting ones sent ahead fills a quarter of this; 0: 256 MiB, or four times max_request_size if that is more",
        unit="bytes",
        minimum=0,
        ours=True,
    )
    max_buffered_response_bytes: int = setting(
        "max_buffered_response_bytes",
        units.size,
        0,
        "most bytes of answers not yet read, over all connections; beyond it, the clients with the most unread bytes "
        "are disconnected; 0: 256 MiB, or four times max_response_size if that is more",
        unit="bytes",
        minimum=0,
        ours=True,
    )

    # ---------------------------------------------------------------------------------------- archives

    allowed_urls: tuple[str, ...] = setting(
        "allowed_urls",
        rows.regexes,
        ("https://.*",),
        "comma-separated expressions; one must match the whole URL of an archive",
    )
    allowed_model_paths: tuple[Path, ...] = setting(
        "allowed_model_paths",
        rows.folders,
        (),
        "comma-separated folders; clients may register archives and directories by paths inside them and inside "
        "model_store; /: any path, as in TorchServe",
        ours=True,
    )
    use_env_allowed_urls: bool = setting(
        "use_env_allowed_urls", units.boolean, False, "let TS_ALLOWED_URLS override allowed_urls", origin=Origin.FILE
    )
    allow_private_urls: bool = setting(
        "allow_private_urls",
        units.boolean,
        False,
        "download archives from private, loopback and link-local addresses too",
        ours=True,
    )
    download_max_size: int = setting(
        "download_max_size", units.size, 20 << 30, "largest archive to download", unit="bytes", minimum=1, ours=True
    )
    download_timeout_s: float = setting(
        "download_timeout", units.number, 3600.0, "longest time for a download", unit="s", minimum=0.001, ours=True
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
        "most that an archive may grow when unpacked, as a factor; beyond it, it is refused as a bomb",
        minimum=1,
        ours=True,
    )

    # ---------------------------------------------------------------------------- security and sources

    disable_token_authorization: bool = setting(
        "disable_token_authorization", units.boolean, False, "serve requests without a token"
    )
    token_expiration_s: float = setting(
        "token_expiration_min",
        units.minutes,
        3600.0,
        "lifetime of a token; /token creates a new one",
        env="TS_TOKEN_EXPIRATION_TIME_MIN",
        unit="min",
        shown="60",
        minimum=0,
    )
    inference_token: str | None = setting(
        "inference_token",
        rows.token,
        None,
        "fixed token of the inference API, instead of the key file",
        always_env=True,
        ours=True,
        secret=True,
    )
    management_token: str | None = setting(
        "management_token",
        rows.token,
        None,
        "fixed token of the management API, instead of the key file",
        always_env=True,
        ours=True,
        secret=True,
    )
    token_file: Path | None = setting(
        "token_file",
        rows.path,
        None,
        "fixed tokens: a file like key_file.json, or a folder with the files inference and management; "
        "reloaded when it changes",
        always_env=True,
        ours=True,
    )
    token_failure_status: int = setting(
        "token_failure_status",
        lambda text: int(units.one_of("400", "401")(text)),
        400,
        "HTTP status of a request without the right token",
        ours=True,
    )
    enable_model_api: bool = setting(
        "enable_model_api", units.boolean, False, "let clients register and unregister models"
    )
    cors_allowed_origin: str | None = setting(
        "cors_allowed_origin",
        units.string,
        None,
        "header access-control-allow-origin of REST answers; pages of this origin may use the management API",
    )
    cors_allowed_methods: str | None = setting(
        "cors_allowed_methods", units.string, None, "header access-control-allow-methods of REST answers"
    )
    cors_allowed_headers: str | None = setting(
        "cors_allowed_headers", units.string, None, "header access-control-allow-headers of REST answers"
    )
    allowed_hosts: tuple[str, ...] = setting(
        "allowed_hosts",
        units.comma_list,
        (),
        "names that the REST management API accepts in the Host header, besides localhost, IP addresses, "
        "the machine's name and the listener's",
        ours=True,
    )
    enable_envvars_config: bool = setting(
        "enable_envvars_config",
        units.boolean,
        False,
        "let TS_ environment variables override the file and the command line",
        origin=Origin.FILE,
    )

    # -------------------------------------------------------------------------------- metrics and logs

    metrics_config: Path | None = setting(
        "metrics_config", rows.path, None, "YAML file that declares the metrics", shown="the packaged one"
    )
    metrics_mode: str = setting(
        "metrics_mode", units.word, "log", "log, prometheus, legacy, or off (stoker only); any other word means log"
    )
    model_metrics_auto_detect: bool = setting(
        "model_metrics_auto_detect",
        units.boolean,
        False,
        "accept metrics of handlers that the metrics file does not name",
    )
    disable_system_metrics: bool = setting(
        "disable_system_metrics", units.boolean, False, "do not measure CPU, memory, disk and GPUs"
    )
    metric_time_interval_s: float = setting(
        "metric_time_interval",
        units.number,
        60.0,
        "time between measurements of system metrics",
        unit="s",
        minimum=0.1,
        origin=Origin.FILE,
    )
    access_log: bool = setting(
        "access_log", units.boolean, True, "one line per request in access_log.log and on the console", ours=True
    )
    console_log: str = setting(
        "console_log",
        units.one_of("all", "server"),
        "all",
        "what the console shows; server: everything but access and metric lines, which are in their files",
        ours=True,
    )
    log_format: str = setting(
        "log_format",
        units.one_of("text", "json"),
        "text",
        "json: one JSON object per line, on the console and in every log file",
        ours=True,
    )
    log_rolling: bool = setting(
        "log_rolling",
        units.boolean,
        True,
        "rotate log files daily and at 100 MB, keeping five of each; false: leave it to logrotate and SIGHUP",
        ours=True,
    )

    # -------------------------------------------------------------------------- places on the machine

    compile_cache: Path | None = setting(
        "compile_cache",
        rows.path,
        None,
        "folder for what torch.compile made of each model with the key pt2 or warmUp, so that other workers and a "
        "restart compile nothing again; empty: none is kept",
        factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "stoker", "compiled"),
        shown="~/.cache/stoker/compiled",
        ours=True,
    )

    temp_dir: Path = setting(
        "temp_dir",
        Path,
        None,
        "folder for unpacked archives and the pid file",
        env="TEMP",
        origin=Origin.ENVIRONMENT,
        factory=lambda: Path(tempfile.gettempdir()),
        shown="the system's",
    )
    log_location: Path = setting(
        "log_location", Path, Path("logs"), "folder of the log files", env="LOG_LOCATION", origin=Origin.ENVIRONMENT
    )
    metrics_location: Path = setting(
        "metrics_location",
        Path,
        Path("logs"),
        "folder of the metric logs",
        env="METRICS_LOCATION",
        origin=Origin.ENVIRONMENT,
    )

    @property
    def uses_ray(self) -> bool:
        return self.worker_placement == "ray" or self.ray_address is not None


def _table() -> dict[str, Row]:
    read = (field.metadata[rows.METADATA].for_field(field.name) for field in fields(Settings))
    return {row.key: row for row in (*read, *ACCEPTED)}


ROWS: Mapping[str, Row] = _table()
"""Every key by property name: first those of `Settings` in its order, then those that are only accepted."""
