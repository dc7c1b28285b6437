"""Routes for opt-outs, deletion and its receipts, reads about a user, and purposes."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from serving.api.dependencies import ADMIN, READ, ServiceDependency, SinceQuery, UntilQuery
from serving.api.examples import OPTED_IN, OPTED_OUT, PURPOSES, READS, RECEIPT, success
from serving.api.fast_routes import ServiceRoute, TimeoutRoute
from serving.api.problems import problems
from serving.api.routes.users import User
from serving.api.schemas import OptOut, ProhibitedPurpose, Purposes
from serving.middleware.request_context import path_prefix, record_users
from serving.privacy.audit_check_and_reads import Reads, reads_about
from serving.privacy.deletion import request_deletion
from serving.privacy.purposes import HEADER, MAX_LENGTH, PurposePolicy
from training.home import Home
from training.prohibited_uses import PROHIBITED_USES
from training.records.deletion_receipts import Receipt, read_receipt
from training.records.opt_outs import opt_in, opt_out


class EncodedIdRoute(TimeoutRoute):
    """A route that requires slashes in ids to be percent-encoded.

    Routes that read a score accept plain slashes in an id; routes that hide or delete must not mistake a part of the
    path for one. So the raw path must have as many slashes as the route.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request if its raw path has the right number of slashes."""
        raw_path: bytes = scope.get("raw_path") or b""
        if raw_path.partition(b"?")[0].count(b"/") != self.path_format.count("/"):
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse another method with 405 and the methods of all routes at the path, not only of this."""
        if scope["method"] not in (self.methods or ()):
            routes = [route for route in router.routes if isinstance(route, APIRoute) and route.path == self.path]
            allowed = sorted({method for route in routes for method in route.methods or ()})
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        await super().handle(scope, receive, send)


router = APIRouter(
    prefix="/v1",
    tags=["rights"],
    dependencies=[ADMIN],
    responses=problems(422, no_records=503),
    route_class=EncodedIdRoute,
)
ReceiptId = Annotated[str, Path(description="As a deletion returned it", examples=[RECEIPT["receipt"]])]


@router.put("/users/{user:id}/opt-out", operation_id="opt_out_user", responses=success(OPTED_OUT))
def put_opt_out(user: User, request: Request) -> OptOut:
    """Opt a user out: hidden at once, neither scored nor counted in others' features from the next run on.

    Users that are in no snapshot may opt out too. Slashes in the id must be percent-encoded here.
    """
    record = opt_out(_home(request), user)
    return OptOut(user=record.user, opted_out=True, since=record.since)


@router.delete("/users/{user:id}/opt-out", operation_id="revoke_opt_out", responses=success(OPTED_IN))
def delete_opt_out(user: User, request: Request) -> OptOut:
    """Revoke an opt-out: stored scores are shown again, and the next run scores and counts the user.

    It also lets a deleted user come back; the deleted data does not.
    """
    opt_in(_home(request), user)
    return OptOut(user=user, opted_out=False, since=None)


@router.delete("/users/{user:id}", operation_id="delete_user", status_code=202, responses=success(RECEIPT, 202))
def delete(user: User, request: Request, response: Response) -> Receipt:
    """Delete all data of a user: hidden at once, then removed from all snapshots and records in the background.

    The receipt, at the address in `Location`, says when it is complete, what was removed where, and what remains. The
    service does not know the events: `clout forget USER --events EVENTS` removes the user from those.
    """
    receipt = request_deletion(_home(request), user)
    request.app.state.deletion_worker.start_if_pending()
    response.headers["Location"] = f"{path_prefix(request.scope)}/v1/receipts/{receipt.receipt}"
    return receipt


@router.get(
    "/receipts/{receipt}",
    operation_id="get_receipt",
    responses=success(RECEIPT | {"finished": "2017-08-01T09:00:02Z"}) | problems(absent_receipt=404),
)
def receipt(receipt: ReceiptId, request: Request) -> Receipt:
    """Return the receipt of a deletion: what was removed where, and what remains; `finished` is null while pending."""
    record_users(request.scope, [])  # a receipt has no user ids
    return read_receipt(_home(request), receipt)


def _home(request: Request) -> Home:
    home: Home = request.app.state.home
    return home


reads_router = APIRouter(prefix="/v1/users", tags=["rights"], route_class=TimeoutRoute)


@reads_router.get(
    "/{user:id}/reads",
    operation_id="get_reads",
    dependencies=[ADMIN],
    responses=success(READS) | problems(422, no_audit_log=503),
)
def reads(user: User, service: ServiceDependency, start: SinceQuery, end: UntilQuery) -> Reads:
    """Return the newest 1,000 requests about a user, newest first; send `earlier` as `to` for the next page.

    Unknown and deleted users work like all others: the audit log contains no ids, only their keyed hashes.
    """
    return reads_about(service.home, user, start, end)


purposes_router = APIRouter(prefix="/v1", tags=["rights"], dependencies=[READ], route_class=ServiceRoute)


@purposes_router.get("/purposes", operation_id="get_purposes", responses=success(PURPOSES) | problems(422))
async def purposes(request: Request) -> Purposes:
    """Return how a request names its purpose, whether it must, the allowed purposes, and the prohibited uses."""
    policy: PurposePolicy = request.app.state.purposes
    prohibited = [ProhibitedPurpose(name=use.name, reason=use.reason) for use in PROHIBITED_USES]
    return Purposes(
        header=HEADER, demanded=policy.demanded, longest=MAX_LENGTH, allowed=list(policy.allowed), prohibited=prohibited
    )
