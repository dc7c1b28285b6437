"""Whether the process answers, and whether it can answer questions.

Metrics, for Prometheus to scrape.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from features.utc import to_iso_utc
from serving.api.dependencies import READ, ServiceDependency
from serving.api.examples import HEALTH, READY, answered
from serving.api.problems import ServiceNotReadyError, problems
from serving.api.schemas import Health, Readiness, Stale
from serving.privacy.audit_log import AuditLog

router = APIRouter(tags=["health"])


@router.get("/health", responses=answered(HEALTH) | problems())
async def health() -> Health:
    """Answer as long as the process lives."""
    return Health(status="ok")


@router.get("/ready", responses=answered(READY) | problems(not_ready=503))
async def ready(service: ServiceDependency, request: Request) -> Readiness:
    """Answer 200 when both the champion and a snapshot are there, else say what is missing and what to do.

    Where a newer one could not be loaded, `stale` says what failed and since when. The audit log is among what is
    stale where its lines wait for the disk, and among what is missing where no more of them can.
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
        users=snapshot.users,
        stale={name: Stale(detail=each.detail, since=to_iso_utc(each.since)) for name, each in stale.items()},
    )


metrics_router = APIRouter(tags=["health"], dependencies=[READ])
EXAMPLE = 'clout_requests_total{route="/v1/users/{user}/score",method="GET",status="200"} 1024.0\n'
TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Requests, the champion and the snapshot, in Prometheus's text format",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}


@metrics_router.get("/metrics", response_class=Response, responses=TEXT | problems())
def metrics(request: Request) -> Response:
    """Return the counts of requests by route, how long they took, and the state of the champion and the snapshot."""
    return Response(generate_latest(request.app.state.metrics.told), media_type=CONTENT_TYPE_LATEST)
