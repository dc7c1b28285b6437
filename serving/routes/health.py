"""Whether the process answers, and whether it can answer questions."""

from fastapi import APIRouter, Request

from serving.problems import ServiceNotReadyError, problems
from serving.rights.audit_log import AuditLog
from serving.routes.examples import HEALTH, READY, answered
from serving.routes.forms import Health, Readiness, Stale
from serving.routes.state import GivenService
from serving.snapshots.files import told

router = APIRouter(tags=["health"])


@router.get("/health", responses=answered(HEALTH) | problems())
async def health() -> Health:
    """Answer as long as the process lives."""
    return Health(status="ok")


@router.get("/ready", responses=answered(READY) | problems(not_ready=503))
async def ready(service: GivenService, request: Request) -> Readiness:
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
        as_of=told(snapshot.as_of),
        users=snapshot.users,
        stale={name: Stale(detail=each.detail, since=told(each.since)) for name, each in stale.items()},
    )
