"""What scores are not to be read for."""

from fastapi import APIRouter, Request

from serving.access.guard import READ
from serving.problems import problems
from serving.rights.prohibited import PROHIBITED
from serving.rights.purposes import HEADER, LONGEST
from serving.routes.examples import answered
from serving.routes.rights_examples import PURPOSES
from serving.routes.rights_forms import ProhibitedPurpose, Purposes

router = APIRouter(prefix="/v1", tags=["rights"], dependencies=[READ])


@router.get("/purposes", responses=answered(PURPOSES) | problems())
async def purposes(request: Request) -> Purposes:
    """Return how a request says what it is for, whether it has to, and which purposes are refused, by which words."""
    refused = [
        ProhibitedPurpose(name=each.name, reason=each.reason, words=list(each.phrases), alone=sorted(each.alone))
        for each in PROHIBITED
    ]
    demanded = request.app.state.demand_purpose
    return Purposes(header=HEADER, demanded=demanded, longest=LONGEST, prohibited=refused)
