"""What the settings mean for the parts of a server: limits, budgets, stores, what each listener serves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from stoker.archive.download import DownloadLimits
from stoker.archive.limits import UnpackLimits
from stoker.archive.store import ModelStore, WorkflowStore
from stoker.config.settings import Settings
from stoker.frontend.grpc.engine import ConnectionAge
from stoker.frontend.grpc.limits import Limits as Http2Limits
from stoker.frontend.http.listeners import Role
from stoker.frontend.http.openapi import Operation
from stoker.frontend.http.openapi_operations import of_listener
from stoker.frontend.listener import Budgets, Limits

_BUFFERED = 256 << 20


def has_metrics(settings: Settings, roles: Collection[Role]) -> bool:
    """Whether a listener serves metrics: that of the metrics, and as in TorchServe one with several APIs."""
    return settings.enable_metrics_api and (Role.METRICS in roles or len(roles) > 1)


def operations(settings: Settings, roles: Collection[Role]) -> Sequence[Operation]:
    return of_listener(
        inference=Role.INFERENCE in roles,
        management=Role.MANAGEMENT in roles,
        metrics=has_metrics(settings, roles),
    )


def where_grpc_is(settings: Settings, roles: Collection[Role]) -> str:
    """Tells a gRPC client that calls a REST port where to go."""
    if Role.INFERENCE in roles:
        return f"gRPC is served on port {settings.grpc_inference_port}."
    return f"gRPC is served on port {settings.grpc_management_port}." if Role.MANAGEMENT in roles else ""


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
        first_s=settings.first_request_timeout_s,
        idle_s=settings.idle_timeout_s,
        slow_s=settings.client_timeout_s,
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
        unparsed=settings.max_buffered_request_bytes or max(_BUFFERED, 4 * settings.max_request_size),
        unread=settings.max_buffered_response_bytes or max(_BUFFERED, 4 * settings.max_response_size),
    )


def model_store(settings: Settings) -> ModelStore:
    return ModelStore(settings.model_store, **_store_options(settings))


def workflow_store(settings: Settings) -> WorkflowStore:
    """As in TorchServe, workflows are in the model store unless they have a store of their own."""
    return WorkflowStore(settings.workflow_store or settings.model_store, **_store_options(settings))


def _store_options(settings: Settings) -> dict[str, Any]:
    return {
        "temp_dir": settings.temp_dir,
        "allowed_model_paths": settings.allowed_model_paths,
        "allowed_urls": ",".join(settings.allowed_urls),
        "allow_private_urls": settings.allow_private_urls,
        "unpack_limits": UnpackLimits(
            entries=settings.unpack_max_files,
            total_bytes=settings.unpack_max_size,
            ratio=settings.unpack_max_ratio,
        ),
        "download_limits": DownloadLimits(max_bytes=settings.download_max_size, total_s=settings.download_timeout_s),
    }
