"""Whether the process answers, and whether it can answer questions."""

from fastapi import APIRouter

from serving.problems import ServiceNotReadyError, problems
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
def ready(service: GivenService) -> Readiness:
    """Answer 200 when both the champion and a snapshot are there, else say what is missing and what to do.

    Where a newer one could not be loaded, `stale` says what failed and since when.
    """
    if service.missing:
        raise ServiceNotReadyError(service.missing)
    snapshot = service.snapshot()
    return Readiness(
        status="ready",
        model_version=service.champion.version,
        as_of=told(snapshot.as_of),
        users=snapshot.users,
        stale={name: Stale(detail=stale.detail, since=told(stale.since)) for name, stale in service.stale.items()},
    )
