"""What would change a user's score."""

from typing import Annotated

from fastapi import APIRouter, Query

from serving.access.guard import REVIEW
from serving.problems import problems
from serving.reviewing.what_if import WhatIf, changed, proposed, settings
from serving.routes.examples import WHAT_IF, answered
from serving.routes.forms import Text
from serving.routes.in_time import InTimeRoute
from serving.routes.state import GivenAsOf, GivenScope, GivenService
from serving.routes.users import User

router = APIRouter(
    prefix="/v1/users",
    tags=["users"],
    responses=problems(404, 422, 503, hidden_user=410),
    route_class=InTimeRoute,
)
MOST_SET = 50
Set = Annotated[
    list[Text] | None,
    Query(
        alias="set", max_length=MOST_SET, description="feature=value, may be given again", examples=[["days_absent=0"]]
    ),
]
AwayDays = Annotated[
    int | None, Query(description="Days of doing nothing from the snapshot on, 1 to 365", examples=[14])
]


@router.get("/{user:id}/what-if", dependencies=[REVIEW], responses=answered(WHAT_IF))
def what_if(
    user: User,
    service: GivenService,
    as_of: GivenAsOf,
    scope: GivenScope = "all",
    given: Set = None,
    away_days: AwayDays = None,
) -> WhatIf:
    """Return where people stand who differ: an association found among people, no promise.

    Without `set` and `away_days`: what is in the person's own hands and raises the score by half a point or more,
    within what peers show, the smallest change first, and the least that would do so in others' hands. With them: that
    change.
    """
    snapshot = service.snapshot(as_of)
    if not given and away_days is None:
        return proposed(snapshot, user, scope)
    return changed(snapshot, user, scope, settings(given or []), away_days)
