"""Runs a Ray cluster of three nodes on this machine: ``python ray_nodes.py FOLDER``.

Says ``ready HOST:PORT``, and runs until it is ended.  The first node has no CPUs for workers, the others have one each.
"""

from __future__ import annotations

import os
import signal
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_TMPDIR"] = sys.argv[1]

from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 80 << 20


def main() -> None:
    shared = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **shared})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **shared)
    cluster.wait_for_nodes()
    print("ready", cluster.address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    cluster.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
