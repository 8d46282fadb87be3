"""Describes how one model version is served, by the values merged from archive, API and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.core.job import ModelKey
from stoker.core.ranks import Ranks
from stoker.core.remote import RayNeeds
from stoker.core.sequences import SequenceLimits
from stoker.core.tensors import PLAIN, TensorInterface
from stoker.core.warm_up import WarmUp

RUNTIMES = ("python", "python3", "LSP")
"""TorchServe's names of runtimes."""

_ARCHIVE_SUFFIXES = (".mar", ".model", ".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Times are seconds, sizes bytes. Built by the registry; read by scheduling and pool.

    ``url``: as the client gave it at registration. ``job_queue_size``: limit of jobs that wait, without those that
    workers hold.  ``batching``: ``adaptive``, or ``fixed`` (TorchServe's: a batch that is not full waits for the whole
    delay).
    ``continuous``: requests join and leave between two calls of the handler.
    ``async_jobs``: how many requests a worker with an asynchronous handler runs at a time; 0: it is not asynchronous.
    ``share_weights``: the handler is initialised once, and the workers are forked from that process.
    ``job_tickets``: a request that no worker can begin at once is refused.
    ``ranks``: how each worker is spread over devices; None: it has one device.
    ``sequences``: how requests that share state are kept together; None: they are not.
    ``use_venv``: the workers have a virtual environment of their own.
    ``warm_up``: what each worker runs before it is ready; None: nothing.
    ``ray``: what the workers need from a Ray cluster; None: they run on the server's machine.
    ``autoscale``: the load determines the number of workers. ``unload_after_s``: 0: never.
    """

    key: ModelKey
    url: str
    model_dir: str
    handler: str
    envelope: str | None = None
    runtime: str = "python"
    batch_size: int = 1
    max_batch_delay_s: float = 0.1
    min_workers: int = 0
    max_workers: int = 0
    response_timeout_s: float = 120.0
    startup_timeout_s: float = 120.0
    max_retry_timeout_s: float = 300.0
    client_timeout_s: float = 0.0
    job_queue_size: int = 100
    batching: str = "adaptive"
    stream_batching: bool = False
    continuous: bool = False
    async_jobs: int = 0
    job_tickets: bool = False
    share_weights: bool = False
    ranks: Ranks | None = None
    use_venv: bool = False
    ray: RayNeeds | None = None
    device_type: str | None = None
    device_ids: tuple[int, ...] | None = None
    loaded_at_startup: bool = False
    tensors: TensorInterface = PLAIN
    sequences: SequenceLimits | None = None
    autoscale: bool = False
    autoscale_target_wait_s: float = 0.2
    unload_after_s: float = 0.0
    warm_up: WarmUp | None = None
    yaml_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_place(self) -> bool:
        """Tells whether the model is a folder, which is used where it is, rather than an archive."""
        return not self.url.endswith(_ARCHIVE_SUFFIXES)

    @property
    def sends_ahead(self) -> bool:
        """Tells whether batches may be sent to a worker that is busy."""
        return not self.job_tickets and (self.ranks is None or self.ranks.processes == 1)

    @property
    def streams_alone(self) -> bool:
        """Tells whether a streaming job is a batch of its own, unless the frontend decides otherwise."""
        return not (self.stream_batching or self.concurrent)

    @property
    def concurrent(self) -> bool:
        """Tells whether a worker runs several batches at once, which end in any order."""
        return self.continuous or self.async_jobs > 0
