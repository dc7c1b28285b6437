"""Liveness, readiness, and metrics for Prometheus."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from features.utc import to_iso_utc
from serving.api.dependencies import READ, ServiceDependency
from serving.api.examples import HEALTH, READY, success
from serving.api.problems import ServiceNotReadyError, problems
from serving.api.schemas import Health, Readiness, Stale
from serving.privacy.audit_log import AuditLog

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="get_health", responses=success(HEALTH) | problems())
async def health() -> Health:
    """Return 200 while the process runs."""
    return Health(status="ok")


@router.get("/ready", operation_id="get_readiness", responses=success(READY) | problems(not_ready=503))
async def ready(service: ServiceDependency, request: Request) -> Readiness:
    """Return 200 if the champion and a snapshot are loaded; else say what is missing and what to do.

    Where a newer champion or snapshot could not be loaded, or the served snapshot is not the newest or not by the
    champion, `stale` says why and since when. The audit log is `stale` while its lines wait for the disk, and `missing`
    once no more of them can wait.
    """
    audit_log: AuditLog = request.app.state.audit_log
    missing = service.missing | audit_log.missing
    if missing:
        raise ServiceNotReadyError(missing)
    snapshot, stale = service.snapshot(), service.stale | audit_log.stale
    return Readiness(
        status="ready",
        model_version=service.champion.version,
        as_of=to_iso_utc(snapshot.as_of),
        snapshot_version=snapshot.model_version,
        users=snapshot.users,
        stale={name: Stale(detail=part.detail, since=to_iso_utc(part.since)) for name, part in stale.items()},
    )


metrics_router = APIRouter(tags=["health"], dependencies=[READ])
EXAMPLE = 'clout_requests_total{route="/v1/users/{user}/score",method="GET",status="200"} 1024.0\n'
TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Requests, the champion and the snapshot, in Prometheus's text format",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}


@metrics_router.get("/metrics", operation_id="get_metrics", response_class=Response, responses=TEXT | problems())
def metrics(request: Request) -> Response:
    """Return the requests by route and their durations, and the state of the champion and the snapshot."""
    return Response(generate_latest(request.app.state.metrics.exposed), media_type=CONTENT_TYPE_LATEST)
