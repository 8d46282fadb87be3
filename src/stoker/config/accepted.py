"""TorchServe's keys that have no effect here.  They are read, checked, and named in the log once.

Each key has its reason, so that an operator who reuses a file learns what no longer applies.
"""

from __future__ import annotations

from stoker.config import units
from stoker.config.rows import Origin, Row, path, row

_NO_JVM = "it tunes the Java virtual machine, which stoker does not use"
_NO_JVM_BUT_LOG4J = f"{_NO_JVM}; only the levels in the log4j2 file that it names count"
_NO_PLUGINS = "plug-ins are Java classes, and stoker does not run Java"
_NO_SOCKETS = "workers are reached over inherited Unix sockets, which have no name and no port"
_IN_PROCESS = "the server process measures system metrics itself, without a command"
_FREE_PORTS = "each group of ranks gets a free port"
_NO_LAUNCHER = "workers share the cores without it; to pin them, start torchserve under numactl or taskset"
_LABEL = "it only labels the file"

ACCEPTED: tuple[Row, ...] = (
    row("number_of_netty_threads", units.whole_number, "frontend threads", "0", unused=_NO_JVM),
    row("netty_client_threads", units.whole_number, "threads that talk to workers", "0", unused=_NO_JVM),
    row("prefer_direct_buffer", units.boolean, "buffer type of the JVM", "false", unused=_NO_JVM),
    row("initial_distribution_port", units.whole_number, "first port of the ranks", "29500", unused=_FREE_PORTS),
    row(
        "system_metrics_cmd", units.string, "command that prints system metrics", origin=Origin.FILE, unused=_IN_PROCESS
    ),
    row(
        "async_logging",
        units.boolean,
        "log from a separate thread",
        "false",
        unused="logging never blocks serving here",
    ),
    row("cpp_log_config", path, "log settings of the C++ backend", unused="there is no C++ backend"),
    row("cpu_launcher_enable", units.boolean, "start workers with torch's CPU launcher", "false", unused=_NO_LAUNCHER),
    row("cpu_launcher_args", units.string, "arguments of the CPU launcher", unused=_NO_LAUNCHER),
    row("use_native_io", units.boolean, "use Unix sockets to workers", "true", origin=Origin.FILE, unused=_NO_SOCKETS),
    row("io_ratio", units.whole_number, "netty's I/O ratio", "50", origin=Origin.FILE, unused=_NO_JVM),
    row("vmargs", units.string, "options of the JVM", origin=Origin.FILE, unused=_NO_JVM_BUT_LOG4J),
    row("plugins_path", path, "folder of Java plug-ins", origin=Origin.FILE, unused=_NO_PLUGINS),
    row("version", units.string, "version that wrote the file", origin=Origin.FILE, unused=_LABEL),
    row("tsConfigFile", units.string, "name of the file", origin=Origin.FILE, unused=_LABEL),
)
