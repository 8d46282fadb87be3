"""Derives what the parts of a server need from its settings: limits, budgets, stores, what each listener serves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from typing import Any

from stoker.archive.download import DownloadLimits
from stoker.archive.limits import UnpackLimits
from stoker.archive.store import ModelStore, WorkflowStore
from stoker.config.address import Address, grpc_address, is_loopback, is_unspecified
from stoker.config.settings import Settings
from stoker.errors import ConfigurationError
from stoker.frontend.grpc.engine import ConnectionAge
from stoker.frontend.grpc.limits import Limits as Http2Limits
from stoker.frontend.http.listeners import Role
from stoker.frontend.http.openapi import Operation
from stoker.frontend.http.openapi_operations import listener_operations
from stoker.frontend.listener import Budgets, Limits
from stoker.ipc.driver_messages import Connected
from stoker.pool.remote.border import Border
from stoker.pool.remote.bundles import Bundles
from stoker.pool.remote.certificates import BorderTls, make_tls, tls_of_files
from stoker.pool.remote.cluster_checks import check_apis
from stoker.pool.remote.ray_placer import NodeOptions, RayPlacer

_LEAST_BUDGET = 256 << 20


def has_metrics(settings: Settings, roles: Collection[Role]) -> bool:
    """Tells whether a listener serves metrics: the metrics listener, and as in TorchServe any with several APIs."""
    return settings.enable_metrics_api and (Role.METRICS in roles or len(roles) > 1)


def operations(settings: Settings, roles: Collection[Role]) -> Sequence[Operation]:
    return listener_operations(
        inference=Role.INFERENCE in roles,
        management=Role.MANAGEMENT in roles,
        metrics=has_metrics(settings, roles),
        tensors=settings.ts_open_inference_protocol,
    )


def grpc_port_hint(settings: Settings, roles: Collection[Role]) -> str:
    """Returns a sentence for gRPC clients that call a REST port; empty if no gRPC port belongs to these APIs."""
    if Role.INFERENCE in roles:
        return f"gRPC is served on port {settings.grpc_inference_port}."
    return f"gRPC is served on port {settings.grpc_management_port}." if Role.MANAGEMENT in roles else ""


def check_addresses(settings: Settings) -> None:
    """Refuses two listeners in one place; only REST APIs of equal addresses share one. Raises ConfigurationError."""
    rest = ("inference_address", "management_address", "metrics_address")[: 3 if settings.enable_metrics_api else 2]
    grpc = [
        (f"grpc_{name}_{'address' if host.startswith('unix:') else 'port'}", grpc_address(host, port))
        for name, host, port in (
            ("inference", settings.grpc_inference_address, settings.grpc_inference_port),
            ("management", settings.grpc_management_address, settings.grpc_management_port),
        )
    ]
    places = [*grpc, *((name, getattr(settings, name)) for name in rest)]
    for (name, one), (other_name, other) in combinations(places, 2):
        shares = one == other and "grpc" not in (one.scheme, other.scheme) and name in rest
        if not shares and _same_place(one, other):
            where = f"port {one.port}" if one.port else str(one)
            raise ConfigurationError(f"Invalid configuration: {name} and {other_name} both ask for {where}.")


def _same_place(one: Address, other: Address) -> bool:
    if "unix" in (one.scheme, other.scheme):
        return one == other
    hosts = {"127.0.0.1" if host.lower() == "localhost" else host.lower() for host in (one.host, other.host)}
    return one.port == other.port > 0 and (len(hosts) == 1 or any(map(is_unspecified, hosts)))


def cors_headers(settings: Settings) -> Sequence[tuple[bytes, bytes]]:
    """Returns the configured headers for answers that do not set them."""
    values = {
        b"access-control-allow-origin": settings.cors_allowed_origin,
        b"access-control-allow-methods": settings.cors_allowed_methods,
        b"access-control-allow-headers": settings.cors_allowed_headers,
    }
    return [(name, value.encode("latin-1", "replace")) for name, value in values.items() if value]


def http_limits(settings: Settings) -> Limits:
    return Limits(
        connections=settings.max_connections,
        handshake_s=settings.tls_handshake_timeout_s,
        first_s=settings.first_request_timeout_s,
        idle_s=settings.idle_timeout_s,
        head_s=settings.request_head_timeout_s,
        slow_s=settings.client_timeout_s,
        head_bytes=settings.max_request_head_size,
        header_count=settings.max_request_headers,
    )


def grpc_limits(settings: Settings) -> Http2Limits:
    return Http2Limits(
        connections=settings.max_connections,
        handshake_s=settings.tls_handshake_timeout_s,
        calls=settings.grpc_max_concurrent_calls,
        header_bytes=settings.grpc_max_metadata_size,
        continuations=settings.grpc_max_continuation_frames,
        first_s=settings.first_request_timeout_s,
        idle_s=settings.idle_timeout_s,
        slow_s=settings.client_timeout_s,
        unread_bytes=settings.grpc_max_unread_response_bytes,
        reset_burst=settings.grpc_max_reset_burst,
        resets_per_second=settings.grpc_max_resets_per_second,
        control_frame_burst=settings.grpc_max_control_frame_burst,
        control_frames_per_second=settings.grpc_max_control_frames_per_second,
    )


def connection_ages(settings: Settings) -> tuple[ConnectionAge, ConnectionAge]:
    return (
        ConnectionAge(settings.grpc_inference_max_connection_age_s, settings.grpc_inference_max_connection_age_grace_s),
        ConnectionAge(
            settings.grpc_management_max_connection_age_s, settings.grpc_management_max_connection_age_grace_s
        ),
    )


def budgets(settings: Settings) -> Budgets:
    """Makes the budgets that all listeners share."""
    return Budgets(
        unparsed=settings.max_buffered_request_bytes or max(_LEAST_BUDGET, 4 * settings.max_request_size),
        unread=settings.max_buffered_response_bytes or max(_LEAST_BUDGET, 4 * settings.max_response_size),
    )


def model_store(settings: Settings) -> ModelStore:
    return ModelStore(settings.model_store, **_store_options(settings))


def workflow_store(settings: Settings) -> WorkflowStore:
    """Returns the model store unless workflows have a store of their own, as in TorchServe."""
    return WorkflowStore(settings.workflow_store or settings.model_store, **_store_options(settings))


@contextmanager
def ray_placer(settings: Settings) -> Iterator[RayPlacer]:
    """Yields what places workers on the nodes of the Ray cluster; the caller opens it."""
    address = settings.ray_address or "auto"
    with ThreadPoolExecutor(1, "bundles") as executor:
        yield RayPlacer(
            address,
            node_options=NodeOptions(
                cache_dir=settings.ray_archive_cache,
                cache_limit_bytes=settings.ray_archive_cache_size,
                shares_disk=address == "local",
            ),
            check=check_apis if settings.ray_public_jobs_api == "refuse" else lambda cluster: None,
            border_of=partial(_border, settings),
            bundle_of=Bundles(executor=executor, limits=unpack_limits(settings)).of,
        )


def _border(settings: Settings, cluster: Connected) -> Border:
    """Raises ConfigurationError."""
    place = settings.ray_border_address or Address("border", cluster.address)
    reached = cluster.address if is_unspecified(place.host) else place.host
    return Border(place.host, place.port, advertise=reached, tls=_border_tls(settings, reached))


def _border_tls(settings: Settings, host: str) -> BorderTls | None:
    """Makes a certificate unless the operator names one, or nothing leaves this machine."""
    files = (settings.ray_border_certificate_file, settings.ray_border_private_key_file, settings.ray_border_ca_file)
    if not settings.ray_border_tls:
        return None
    certificate, key, authority = files
    if certificate is not None and key is not None and authority is not None:
        return tls_of_files(certificate, key, authority, name=host)
    if any(files):
        raise ConfigurationError(
            "The border to remote workers needs all three: ray_border_certificate_file, ray_border_private_key_file, "
            "ray_border_ca_file."
        )
    return None if is_loopback(host) else make_tls()


def unpack_limits(settings: Settings) -> UnpackLimits:
    return UnpackLimits(
        entries=settings.unpack_max_files, total_bytes=settings.unpack_max_size, ratio=settings.unpack_max_ratio
    )


def _store_options(settings: Settings) -> dict[str, Any]:
    return {
        "temp_dir": settings.temp_dir,
        "allowed_model_paths": settings.allowed_model_paths,
        "allowed_urls": ",".join(settings.allowed_urls),
        "allow_private_urls": settings.allow_private_urls,
        "unpack_limits": unpack_limits(settings),
        "download_limits": DownloadLimits(max_bytes=settings.download_max_size, total_s=settings.download_timeout_s),
    }
