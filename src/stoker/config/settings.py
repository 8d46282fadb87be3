"""The settings of a server: ONE table, read once, frozen.

Each field is a row: its property name, converter, default, unit, meaning, and who may set it; those of the listeners
come first, from `listener_settings`.  Files, the environment, `torchserve --print-config` and the reference in the
documentation are all derived from these rows (`ROWS`, which also has the keys of `accepted`).  A field has the name of
its property; times are seconds as float and end in ``_s``, sizes are bytes.  `config.load` fills the table; everything
else only reads a `Settings`.
"""

# ruff: noqa: RUF009 - `setting()` and its kinds are dataclass field specifiers, as `field()` is
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
from stoker.config.listener_settings import ListenerSettings
from stoker.config.model_defaults import ModelDefaults, parse_models
from stoker.config.model_snapshot import ModelSnapshot
from stoker.config.rows import Origin, Row, choice, place, row_of, seconds, setting, size, switch, text, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListenerSettings):
    """Effective values; see the rows for their meaning."""

    # ----------------------------------------------------------------------------- models and workers

    model_store: Path | None = place("folder with the model archives")
    load_models: tuple[str, ...] = setting(
        rows.model_list, (), "models to load at start: all, or a comma-separated list of [name=]location"
    )
    models: Mapping[str, Mapping[str, ModelDefaults]] = setting(
        parse_models,
        None,
        "JSON with values per model and version, for models loaded at start",
        origin=Origin.FILE,
        factory=dict,
    )
    model_snapshot: ModelSnapshot | None = setting(
        model_snapshot.decode,
        None,
        "JSON written by a server: models to load instead of load_models",
        origin=Origin.FILE,
    )
    snapshots_kept: int = whole(100, "how many of its newest snapshot files the server keeps; 0: all", ours=True)
    default_workers_per_model: int = whole(
        0,
        "workers of a model that sets none; 0: one per GPU or CPU for models loaded at start, none over the API",
    )
    autoscaling: str = choice(
        ("off", "on"),
        "let the load decide how many workers a model has between minWorkers and maxWorkers, unless its key autoscale "
        "says otherwise",
        ours=True,
    )
    memory_low_percent: float = setting(
        units.number,
        10.0,
        "memory counts as short when less than this is available, in percent of the machine's or the container's; see "
        "the key unloadAfterMs",
        minimum=0,
        maximum=100,
        ours=True,
    )
    debug: bool = switch(
        False, "for debuggers: no response or start-up timeout, one worker per model unless it sets another number"
    )
    worker_poll_us: int = whole(
        400,
        "how long a worker polls for its next batch before it sleeps, if batches arrive that fast and a core is free; "
        "the server polls for a lone answer likewise, for at most 200; 0: sleep at once",
        unit="us",
        maximum=10_000,
        ours=True,
    )
    initial_worker_port: int = whole(9000, "number of the first worker")
    default_response_timeout_s: float = seconds(120.0, "longest time for one batch; then the worker is restarted")
    default_startup_timeout_s: float = seconds(120.0, "longest time for a worker to become ready; then it is restarted")
    unregister_model_timeout_s: float = seconds(120.0, "how long unregistering waits for workers")
    worker_give_up: str = choice(
        ("never", "torchserve"),
        "torchserve: stop restarting a worker that has failed for maxRetryTimeoutInSec, and queue jobs meanwhile",
        ours=True,
    )
    worker_template: bool = switch(
        True,
        "fork further workers of models that import torch from a process that has imported it; costs its memory",
        ours=True,
    )
    job_queue_size: int = whole(100, "most waiting requests per model version", minimum=1)
    number_of_gpu: int | None = whole(None, "most GPUs to use", shown="all detected")
    default_service_handler: str | None = text("handler for archives that name none, module[:function]")
    service_envelope: str | None = text("envelope around every handler: body, json, kserve or kservev2")
    decode_input_request: bool = switch(True, "decode JSON and text inputs in the worker")
    limit_max_image_pixels: bool = switch(True, "keep Pillow's limit on image size in vision handlers")
    install_py_dep_per_model: bool = switch(False, "install an archive's requirements with pip at registration")
    blacklist_env_vars: str | None = setting(
        rows.regex, None, "regular expression; workers do not inherit variables whose whole name matches"
    )
    ipex_enable: bool = switch(False, "set TS_IPEX_ENABLE for the workers")
    ipex_gpu_enable: bool = switch(False, "set TS_IPEX_GPU_ENABLE for the workers")
    python: str = setting(
        lambda text: text.strip() or sys.executable,
        None,
        "Python interpreter of the workers",
        origin=Origin.FILE,
        factory=lambda: sys.executable,
        shown="the server's own",
    )
    model_server_home: Path | None = place(
        "parent folder of the ts package that workers import", always_env=True, shown="the installation"
    )

    # ----------------------------------------------------------------------------------- workers on other machines

    worker_placement: str = choice(
        ("local", "ray"),
        "where workers run unless their model's key placement says otherwise: on this machine, or on nodes of a Ray "
        "cluster; see [ray.md](ray.md)",
        ours=True,
    )
    ray_address: str | None = setting(
        address.ray,
        None,
        "Ray cluster that this machine is a node of: HOST:PORT, auto (the one that runs here), or local (one is "
        "started for this machine alone)",
        shown="auto with worker_placement=ray",
        ours=True,
    )
    ray_border_address: Address | None = setting(
        address.border,
        None,
        "HOST or HOST:PORT that workers on other nodes connect to; with 0.0.0.0 the server listens on all addresses "
        "and tells the nodes its own address in the cluster",
        shown="this node's address in the cluster, any free port",
        ours=True,
    )
    ray_border_tls: bool = switch(
        True,
        "encrypt what passes between the server and workers on other nodes (on loopback only with a certificate file); "
        "false: only in a network where nobody else can read or change traffic",
        ours=True,
    )
    ray_border_certificate_file: Path | None = place(
        "PEM file with the certificate that workers on other nodes see, and its chain; it must be valid for the host "
        "of ray_border_address",
        shown="one is made at start",
        ours=True,
    )
    ray_border_private_key_file: Path | None = place("PEM file with the key of that certificate", ours=True)
    ray_border_ca_file: Path | None = place(
        "PEM file of the authority that those workers verify the certificate with", ours=True
    )
    ray_archive_cache: str | None = text(
        "folder on each node that keeps the archives of its workers",
        shown="a private one of the user that runs Ray",
        ours=True,
    )
    ray_archive_cache_size: int = size(
        50 << 30, "most bytes of archives that a node keeps; those in use are never removed", ours=True
    )
    ray_public_jobs_api: str = choice(
        ("refuse", "allow"),
        "refuse: do not start where the jobs API of Ray's dashboard or of its agents, which runs any code that it is "
        "sent, listens on more than loopback without tokens",
        ours=True,
    )

    # ---------------------------------------------------------------------------------------- workflows

    workflow_store: Path | None = place("folder with the workflow archives", shown="the model store")
    load_workflows: tuple[str, ...] = setting(
        rows.model_list,
        (),
        "workflows to load at start, after the models: all, or a comma-separated list of [name=]location",
        ours=True,
    )
    workflow_api: str = choice(
        ("correct", "torchserve"),
        "torchserve: clients may register and unregister workflows regardless of enable_model_api",
        ours=True,
    )
    workflow_status_codes: str = choice(
        ("correct", "torchserve"),
        "torchserve: over REST, a failed workflow request is answered with status 500 and without the cause",
        ours=True,
    )

    # ---------------------------------------------------------------------------- streams and shutdown

    stream_window: int = size(1 << 20, "most bytes of one stream in transit to its reader", ours=True)
    stream_stall_timeout_s: float = seconds(
        30.0, "how long a stream may stay unread before it is ended", minimum=0.001, ours=True
    )
    stream_min_bytes_per_second: int = size(
        0,
        "least rate at which a stream must be read, averaged over stream_stall_timeout, not to be ended; 0: no limit",
        minimum=0,
        ours=True,
    )
    drain_timeout_s: float = seconds(30.0, "how long a stop waits for accepted requests", ours=True)

    # ---------------------------------------------------------------------------------------- archives

    allowed_urls: tuple[str, ...] = setting(
        rows.regexes, ("https://.*",), "comma-separated regular expressions; one must match the whole URL of an archive"
    )
    allowed_model_paths: tuple[Path, ...] = setting(
        rows.folders,
        (),
        "comma-separated folders; clients may register archives and directories by paths inside them and inside "
        "model_store; /: any path, as in TorchServe",
        ours=True,
    )
    use_env_allowed_urls: bool = switch(False, "let TS_ALLOWED_URLS override allowed_urls", origin=Origin.FILE)
    allow_private_urls: bool = switch(
        False, "download archives from private, loopback and link-local addresses too", ours=True
    )
    download_max_size: int = size(20 << 30, "largest archive to download", ours=True)
    download_timeout_s: float = seconds(3600.0, "longest time for a download", minimum=0.001, ours=True)
    unpack_max_size: int = size(100 << 30, "largest archive when unpacked", ours=True)
    unpack_max_files: int = whole(100_000, "most files in an archive", minimum=1, ours=True)
    unpack_max_ratio: int = whole(
        200,
        "largest factor by which an archive may grow when unpacked; one that grows more is refused as a bomb",
        minimum=1,
        ours=True,
    )

    # ---------------------------------------------------------------------------- security and sources

    disable_token_authorization: bool = switch(False, "serve requests without a token")
    token_expiration_s: float = setting(
        units.minutes,
        3600.0,
        "lifetime of a token; /token creates a new one",
        env="TS_TOKEN_EXPIRATION_TIME_MIN",
        unit="min",
        shown="60",
        minimum=0,
    )
    inference_token: str | None = setting(
        rows.token,
        None,
        "fixed token of the inference API, instead of the key file",
        always_env=True,
        ours=True,
        secret=True,
    )
    management_token: str | None = setting(
        rows.token,
        None,
        "fixed token of the management API, instead of the key file",
        always_env=True,
        ours=True,
        secret=True,
    )
    token_file: Path | None = place(
        "fixed tokens: a file like key_file.json, or a folder with the files inference and management; "
        "reloaded when it changes",
        always_env=True,
        ours=True,
    )
    token_failure_status: int = setting(
        lambda text: int(units.one_of("400", "401")(text)),
        400,
        "HTTP status of a request without the right token",
        ours=True,
    )
    enable_model_api: bool = switch(False, "let clients register and unregister models")
    cors_allowed_origin: str | None = text(
        "header access-control-allow-origin of REST answers; pages of this origin may use the management API"
    )
    cors_allowed_methods: str | None = text("header access-control-allow-methods of REST answers")
    cors_allowed_headers: str | None = text("header access-control-allow-headers of REST answers")
    allowed_hosts: tuple[str, ...] = setting(
        units.comma_list,
        (),
        "names that the REST management API accepts in the Host header, besides localhost, IP addresses, "
        "the machine's name and the listener's",
        ours=True,
    )
    enable_envvars_config: bool = switch(
        False, "let TS_ environment variables override the file and the command line", origin=Origin.FILE
    )

    # -------------------------------------------------------------------------------- metrics and logs

    metrics_config: Path | None = place("YAML file that declares the metrics", shown="the packaged one")
    metrics_mode: str = setting(
        units.word, "log", "log, prometheus, legacy, or off (stoker only); any other word means log"
    )
    model_metrics_auto_detect: bool = switch(False, "accept metrics of handlers that the metrics file does not name")
    disable_system_metrics: bool = switch(False, "do not measure CPU, memory, disk and GPUs")
    metric_time_interval_s: float = seconds(
        60.0, "time between measurements of system metrics", minimum=0.1, origin=Origin.FILE
    )
    access_log: bool = switch(True, "one line per request in access_log.log and on the console", ours=True)
    console_log: str = choice(
        ("all", "server"),
        "what the console shows; server: everything but access and metric lines, which are in their files",
        ours=True,
    )
    log_format: str = choice(
        ("text", "json"), "json: one JSON object per line, on the console and in every log file", ours=True
    )
    log_rolling: bool = switch(
        True,
        "rotate log files daily and at 100 MB, keeping five of each; false: leave it to logrotate and SIGHUP",
        ours=True,
    )

    # ------------------------------------------------------------------------ folders on the machine

    compile_cache: Path | None = place(
        "folder for the code that torch.compile generates for models with the key pt2 or warmUp, so that other workers "
        "and a restart need not compile again; empty: none is kept",
        factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "stoker", "compiled"),
        shown="~/.cache/stoker/compiled",
        ours=True,
    )

    temp_dir: Path = setting(
        Path,
        None,
        "folder for unpacked archives and the pid file",
        env="TEMP",
        origin=Origin.ENVIRONMENT,
        factory=lambda: Path(tempfile.gettempdir()),
        shown="the system's",
    )
    log_location: Path = setting(
        Path, Path("logs"), "folder of the log files", env="LOG_LOCATION", origin=Origin.ENVIRONMENT
    )
    metrics_location: Path = setting(
        Path, Path("logs"), "folder of the metric logs", env="METRICS_LOCATION", origin=Origin.ENVIRONMENT
    )

    @property
    def uses_ray(self) -> bool:
        return self.worker_placement == "ray" or self.ray_address is not None


def _table() -> dict[str, Row]:
    return {row.key: row for row in (*map(row_of, fields(Settings)), *ACCEPTED)}


ROWS: Mapping[str, Row] = _table()
"""Every key by property name: first those of `Settings` in its order, then those that are only accepted."""
