"""Checks Ray, and a cluster, before workers are placed there."""

from __future__ import annotations

import re
from importlib import metadata

from stoker.config.address import is_loopback
from stoker.errors import ConfigurationError
from stoker.ipc.driver_messages import Connected

OLDEST = (2, 54)


def check_installed() -> None:
    """Raises ConfigurationError: the package ray is not installed here, or too old."""
    needed = (
        f"Workers on a Ray cluster need the package ray, {OLDEST[0]}.{OLDEST[1]} or newer: pip install 'stoker[ray]'"
    )
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError:
        raise ConfigurationError(f"{needed}.") from None
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise ConfigurationError(f"{needed}; this is {version}.")


def check_apis(connected: Connected) -> None:
    """Refuses a cluster that lets anyone on the network run code on its nodes (CVE-2023-48022).

    Raises: ConfigurationError.
    """
    hosts = {api: api.removeprefix("http://").rpartition(":")[0] for api in connected.apis}
    public = [api for api, host in hosts.items() if not is_loopback(host)]
    if not public or connected.tokens:
        return
    raise ConfigurationError(
        f"Ray's jobs API at {public[0]} runs any code that it is sent, for everyone who can reach it (CVE-2023-48022). "
        "Start Ray with RAY_AUTH_MODE=token, or without its dashboard (the plain package ray); or set "
        "ray_public_jobs_api=allow if nobody else can reach it."
    )
