"""The rights of people: not to be scored, and to be forgotten.

Who read about somebody, and what for.
What scores are not to be read for.
"""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from serving.api.dependencies import ADMIN, READ, ServiceDependency, SinceQuery, UntilQuery
from serving.api.examples import OPTED_IN, OPTED_OUT, PURPOSES, READS, RECEIPT, success
from serving.api.fast_routes import TimeoutRoute
from serving.api.problems import problems
from serving.api.routes.users import User
from serving.api.schemas import OptOut, ProhibitedPurpose, Purposes
from serving.middleware.request_context import record_users
from serving.privacy.audit_queries import Reads, reads_about
from serving.privacy.deletion import request_deletion
from serving.privacy.purposes import HEADER, MAX_LENGTH, PurposePolicy
from training.home import Home
from training.prohibited_uses import PROHIBITED_USES
from training.records.deletion_receipts import Receipt, read_receipt
from training.records.opt_outs import opt_in, opt_out


class WholeId(TimeoutRoute):
    """A route that takes an id by its encoding alone.

    What asks for somebody's score need not say whether a slash belongs to the id or to the path; what deletes has to.
    So there are as many slashes in the path, as it was sent, as there are in the route.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is for this route."""
        sent: bytes = scope.get("raw_path") or b""
        if sent.partition(b"?")[0].count(b"/") != self.path_format.count("/"):
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse another method and name those of every route at the path: Starlette knows of this alone."""
        if scope["method"] not in (self.methods or ()):
            there = [route for route in router.routes if isinstance(route, APIRoute) and route.path == self.path]
            allowed = sorted({method for route in there for method in route.methods or ()})
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        await super().handle(scope, receive, send)


router = APIRouter(
    prefix="/v1", tags=["rights"], dependencies=[ADMIN], responses=problems(422, no_records=503), route_class=WholeId
)
ReceiptId = Annotated[str, Path(description="As a deletion answers it", examples=[RECEIPT["receipt"]])]


@router.put("/users/{user:id}/opt-out", responses=success(OPTED_OUT))
def opt(user: User, request: Request) -> OptOut:
    """Leave somebody out: hidden at once, neither scored nor counted in others' features from the next run on.

    Who is in no snapshot may opt out too. Slashes in the id have to be percent-encoded here.
    """
    made = opt_out(_home(request), user)
    return OptOut(user=made.user, opted_out=True, since=made.since)


@router.delete("/users/{user:id}/opt-out", responses=success(OPTED_IN))
def undo(user: User, request: Request) -> OptOut:
    """Take an opt-out back: what is kept is shown again, and the next run scores and counts the person.

    It also lets somebody come back of whom everything was deleted; what was deleted does not.
    """
    opt_in(_home(request), user)
    return OptOut(user=user, opted_out=False, since=None)


@router.delete("/users/{user:id}", status_code=202, responses=success(RECEIPT, 202))
def delete(user: User, request: Request, response: Response) -> Receipt:
    """Delete everything of somebody: hidden at once, then removed from all snapshots and records, in the background.

    The receipt, at the address in `Location`, says when it is done, what was removed where, and what remains. Events
    are not known to the service: `clout forget USER --events EVENTS` removes the person from those.
    """
    receipt = request_deletion(_home(request), user)
    request.app.state.clerk.look()
    response.headers["Location"] = f"/v1/receipts/{receipt.receipt}"
    return receipt


@router.get(
    "/receipts/{receipt}",
    responses=success(RECEIPT | {"finished": "2017-08-01T09:00:02Z"}) | problems(absent_receipt=404),
)
def receipt(receipt: ReceiptId, request: Request) -> Receipt:
    """Return the receipt of a deletion: what was removed where, and what remains; `finished` is null until it is."""
    record_users(request.scope, [])  # nobody who can still be named
    return read_receipt(_home(request), receipt)


def _home(request: Request) -> Home:
    home: Home = request.app.state.home
    return home


reads_router = APIRouter(prefix="/v1/users", tags=["rights"], route_class=TimeoutRoute)


@reads_router.get("/{user:id}/reads", dependencies=[ADMIN], responses=success(READS) | problems(422, no_audit_log=503))
def reads(user: User, service: ServiceDependency, start: SinceQuery, end: UntilQuery) -> Reads:
    """Return every request that was about somebody, newest first, the first 1,000; `earlier` says where to go on.

    Whoever was never heard of, or was deleted, is asked for like everybody else: the audit log holds no ids, only what
    this home makes of them.
    """
    return reads_about(service.home, user, start, end)


purposes_router = APIRouter(prefix="/v1", tags=["rights"], dependencies=[READ])


@purposes_router.get("/purposes", responses=success(PURPOSES) | problems())
async def purposes(request: Request) -> Purposes:
    """Return how a request names its purpose, whether it must, the allowed purposes, and the prohibited uses."""
    policy: PurposePolicy = request.app.state.purposes
    return Purposes(
        header=HEADER,
        demanded=policy.demanded,
        longest=MAX_LENGTH,
        allowed=list(policy.allowed),
        prohibited=[ProhibitedPurpose(name=use.name, reason=use.reason) for use in PROHIBITED_USES],
    )
