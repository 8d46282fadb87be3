"""Assigns APIs to listeners: roles with the same address share one. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from stoker.config.address import Address
from stoker.config.settings import Settings


class Role(Enum):
    INFERENCE = "inference"
    MANAGEMENT = "management"
    METRICS = "metrics"


_ADDRESS: Mapping[Role, Callable[[Settings], Address]] = {
    Role.INFERENCE: lambda settings: settings.inference_address,
    Role.MANAGEMENT: lambda settings: settings.management_address,
    Role.METRICS: lambda settings: settings.metrics_address,
}


def roles_by_listener(settings: Settings) -> Iterator[tuple[Address, tuple[Role, ...]]]:
    """Groups the roles. Two roles on any free port (0) never share one."""
    together: dict[Address, list[Role]] = {}
    for role in _wanted(settings):
        address = _ADDRESS[role](settings)
        if address.port == 0 and address.scheme != "unix":
            yield address, (role,)
        else:
            together.setdefault(address, []).append(role)
    for address, roles in together.items():
        yield address, tuple(roles)


def _wanted(settings: Settings) -> Iterator[Role]:
    for role in Role:
        if role is not Role.METRICS or settings.enable_metrics_api:
            yield role
