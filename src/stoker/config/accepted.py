"""Keys of TorchServe that change nothing here.  They are read, checked, and named in the log once.

The reason stands beside each key: an operator who moves a file over learns what no longer applies.
"""

from __future__ import annotations

from stoker.config import units
from stoker.config.rows import Origin, Row, path, row

_NO_JVM = "it tunes the Java virtual machine, and there is none"
_NO_PLUGINS = "plug-ins are Java classes, and there is no Java"
_NO_SOCKETS = "workers are reached over inherited Unix sockets, which have no name and no port"
_IN_PROCESS = "system metrics are measured in the server's own process, without a command"
_NO_DISTRIBUTED = "no model runs over several ranks in this version"
_NO_LAUNCHER = "workers share the cores without it; numactl or taskset around torchserve pins them"
_NO_SEQUENCES = "sequence batching is not part of this version"
_LABEL = "it only says who wrote the file"

ACCEPTED: tuple[Row, ...] = (
    row("number_of_netty_threads", units.whole_number, "frontend threads", "0", unused=_NO_JVM),
    row("netty_client_threads", units.whole_number, "threads towards workers", "0", unused=_NO_JVM),
    row("prefer_direct_buffer", units.boolean, "kind of the JVM's buffers", "false", unused=_NO_JVM),
    row("initial_distribution_port", units.whole_number, "first port of ranks", "29500", unused=_NO_DISTRIBUTED),
    row("workflow_store", path, "folder with workflows", unused="workflows are not part of this version"),
    row("ts_header_key_sequence_id", units.string, "names a sequence", "ts_request_sequence_id", unused=_NO_SEQUENCES),
    row(
        "ts_header_key_sequence_start",
        units.string,
        "starts a sequence",
        "ts_request_sequence_start",
        unused=_NO_SEQUENCES,
    ),
    row("ts_header_key_sequence_end", units.string, "ends a sequence", "ts_request_sequence_end", unused=_NO_SEQUENCES),
    row("system_metrics_cmd", units.string, "prints system metrics", origin=Origin.FILE, unused=_IN_PROCESS),
    row("async_logging", units.boolean, "log from a thread", "false", unused="logging never blocks serving here"),
    row("cpp_log_config", path, "log settings of the C++ backend", unused="there is no C++ backend"),
    row("cpu_launcher_enable", units.boolean, "workers by torch's CPU launcher", "false", unused=_NO_LAUNCHER),
    row("cpu_launcher_args", units.string, "its arguments", unused=_NO_LAUNCHER),
    row("use_native_io", units.boolean, "Unix sockets to workers", "true", origin=Origin.FILE, unused=_NO_SOCKETS),
    row("io_ratio", units.whole_number, "netty's I/O ratio", "50", origin=Origin.FILE, unused=_NO_JVM),
    row("vmargs", units.string, "options of the JVM", origin=Origin.FILE, unused=_NO_JVM),
    row("plugins_path", path, "folder of Java plug-ins", origin=Origin.FILE, unused=_NO_PLUGINS),
    row("version", units.string, "version that wrote the file", origin=Origin.FILE, unused=_LABEL),
    row("tsConfigFile", units.string, "name of the file", origin=Origin.FILE, unused=_LABEL),
)
