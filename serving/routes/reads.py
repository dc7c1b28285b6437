"""Who read about somebody, and what for."""

from fastapi import APIRouter

from serving.access.guard import ADMIN
from serving.problems import problems
from serving.rights.audit_reads import Reads
from serving.rights.audit_reads import reads as reads_of
from serving.routes.examples import answered
from serving.routes.in_time import InTimeRoute
from serving.routes.rights_examples import READS
from serving.routes.state import GivenService, GivenSince, GivenUntil
from serving.routes.users import User

router = APIRouter(prefix="/v1/users", tags=["rights"], route_class=InTimeRoute)


@router.get("/{user:id}/reads", dependencies=[ADMIN], responses=answered(READS) | problems(422, no_audit_log=503))
def reads(user: User, service: GivenService, start: GivenSince, end: GivenUntil) -> Reads:
    """Return every request that was about somebody, newest first, the first 1,000; `earlier` says where to go on.

    Whoever was never heard of, or was deleted, is asked for like everybody else: the audit log holds no ids, only what
    this home makes of them.
    """
    return reads_of(service.home, user, start, end)
