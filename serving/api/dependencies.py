"""What every route is given: the service's state, and the instant asked for.

These are coroutines, which a route is given at once; FastAPI would hand each plain function to another thread.

Ids of users in paths: opaque, so that slashes and line ends are part of them.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Security
from fastapi.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor

from features.errors import AsOfError
from features.utc import parse_utc
from serving.middleware.api_keys import Scope
from serving.middleware.authentication import RequireScope
from serving.middleware.request_context import request_notes
from serving.privacy.purposes import check_purpose
from serving.runtime.state import ServiceState
from serving.snapshots.snapshot import Snapshot


async def get_service(request: Request) -> ServiceState:
    """Return what a request is answered from, and note it."""
    service: ServiceState = request.app.state.service
    notes = request_notes(request.scope)
    if notes is not None:
        notes.service = service
    return service


def _queried(name: str, about: str, example: str) -> Callable[..., Awaitable[datetime | None]]:
    """Return a dependency that reads an instant from the query; None where it is not given."""

    async def given(
        request: Request,
        found: Annotated[str | None, Query(alias=name, description=about, examples=[example])] = None,
    ) -> datetime | None:
        at, notes = read_instant(found), request_notes(request.scope)
        if at is not None and notes is not None:
            notes.instants[name] = at
        return at

    return given


def read_instant(as_of: str | None) -> datetime | None:
    """Read an instant; `+` reaches the service as a space where it was not percent-encoded."""
    if as_of is None:
        return None
    try:
        return parse_utc(as_of.replace(" ", "+") if "T" in as_of else as_of)
    except OverflowError as error:
        raise AsOfError(f"{as_of!r} lies outside the years 1 to 9999 in UTC.") from error


ServiceDependency = Annotated[ServiceState, Depends(get_service)]
WHICH = "Of which snapshot, ISO 8601; the newest unless given"
AS_OF = _queried("as_of", WHICH, "2017-07-30T00:00:00Z")
START = _queried(
    "from", "The earlier snapshot's instant; of the one before the later unless given", "2017-07-02T00:00:00Z"
)
END = _queried("to", "The later snapshot's instant; of the newest unless given", "2017-07-30T00:00:00Z")
COUNTS = "instant that counts, ISO 8601; a date is its midnight. Unbounded unless given"


async def _snapshot(
    request: Request, as_of: Annotated[str | None, Query(description=WHICH, examples=["2017-07-30T00:00:00Z"])] = None
) -> Snapshot:
    """Return the snapshot asked for; an older one has to be opened, in another thread."""
    service, at = await get_service(request), await AS_OF(request, as_of)
    return service.snapshot() if at is None else await run_in_threadpool(service.snapshot, at)


SnapshotDependency = Annotated[Snapshot, Depends(_snapshot)]
AsOfQuery = Annotated[datetime | None, Depends(AS_OF)]
StartQuery = Annotated[datetime | None, Depends(START)]
EndQuery = Annotated[datetime | None, Depends(END)]
SinceQuery = Annotated[datetime | None, Depends(_queried("from", f"The first {COUNTS}", "2017-01-01T00:00:00Z"))]
UntilQuery = Annotated[datetime | None, Depends(_queried("to", f"The last {COUNTS}", "2017-07-30T00:00:00Z"))]
ScopeQuery = Annotated[
    str, Query(description="A part of the activity: all, network:NAME or topic:NAME", examples=["all", "topic:birds"])
]


class IdConvertor(PathConvertor):
    """`{user:id}`: Starlette's own `path` ends at a line end."""

    regex = r"[\s\S]*"


register_url_convertor("id", IdConvertor())


class Authorized(RequireScope):
    """The dependency of a route about people or models: the caller's key suffices, and the purpose is allowed."""

    async def __call__(self, request: Request) -> None:
        """Refuse as `RequireScope` does, or because the purpose is prohibited, or absent where one is demanded."""
        await super().__call__(request)
        check_purpose(request.scope)


def needs(scope: Scope) -> Any:
    """Declare, among the dependencies of a route, the scope that a key must have."""
    return Security(Authorized(scope), scopes=[scope])


READ, REVIEW, ADMIN = needs("read"), needs("review"), needs("admin")
