"""Dependencies of routes: the service's state, instants of the query, the required key scope, ids in paths.

Dependencies are coroutines: FastAPI would run plain functions in another thread.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Security
from fastapi.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor

from features.errors import AsOfError
from features.utc import UtcText, parse_utc
from serving.middleware.api_keys import Scope
from serving.middleware.authentication import RequireScope
from serving.middleware.request_context import request_notes
from serving.privacy.purposes import check_purpose
from serving.runtime.state import ServiceState
from serving.snapshots.snapshot import Snapshot


async def get_service(request: Request) -> ServiceState:
    """Return the state that the request is answered from, and record it for the audit log."""
    service: ServiceState = request.app.state.service
    notes = request_notes(request.scope)
    if notes is not None:
        notes.service = service
    return service


def instant_query(name: str, description: str, example: str) -> Callable[..., Awaitable[datetime | None]]:
    """Return a dependency that reads an optional instant from the query."""

    async def read(
        request: Request,
        text: Annotated[UtcText | None, Query(alias=name, description=description, examples=[example])] = None,
    ) -> datetime | None:
        at, notes = read_instant(text), request_notes(request.scope)
        if at is not None and notes is not None:
            notes.instants[name] = at
        return at

    return read


def read_instant(as_of: str | None) -> datetime | None:
    """Parse an instant of the query; a `+` that was not percent-encoded arrives as a space."""
    if as_of is None:
        return None
    try:
        return parse_utc(as_of.replace(" ", "+") if "T" in as_of else as_of)
    except OverflowError as error:
        raise AsOfError(f"{as_of!r} lies outside the years 1 to 9999 in UTC.") from error


ServiceDependency = Annotated[ServiceState, Depends(get_service)]
SNAPSHOT_INSTANT = "The snapshot's instant, ISO 8601; default the served one"
AS_OF = instant_query("as_of", SNAPSHOT_INSTANT, "2017-07-30T00:00:00Z")
START = instant_query(
    "from", "The earlier snapshot's instant; default the one before the later", "2017-07-02T00:00:00Z"
)
END = instant_query("to", "The later snapshot's instant; default the served one", "2017-07-30T00:00:00Z")
BOUND = "instant included, ISO 8601; a date means its midnight. Default: no bound"


async def _snapshot(
    request: Request,
    as_of: Annotated[UtcText | None, Query(description=SNAPSHOT_INSTANT, examples=["2017-07-30T00:00:00Z"])] = None,
) -> Snapshot:
    """Return the requested snapshot."""
    return await snapshot_at(request, as_of)


async def snapshot_at(request: Request, as_of: str | None) -> Snapshot:
    """Return the snapshot of an instant, of the served one if None; an older one is opened in another thread."""
    service, at = await get_service(request), await AS_OF(request, as_of)
    return service.snapshot() if at is None else await run_in_threadpool(service.snapshot, at)


SnapshotDependency = Annotated[Snapshot, Depends(_snapshot)]
AsOfQuery = Annotated[datetime | None, Depends(AS_OF)]
StartQuery = Annotated[datetime | None, Depends(START)]
EndQuery = Annotated[datetime | None, Depends(END)]
SinceQuery = Annotated[datetime | None, Depends(instant_query("from", f"The first {BOUND}", "2017-01-01T00:00:00Z"))]
UntilQuery = Annotated[datetime | None, Depends(instant_query("to", f"The last {BOUND}", "2017-07-30T00:00:00Z"))]
ScopeQuery = Annotated[
    str, Query(description="A part of the activity: all, network:NAME or topic:NAME", examples=["all", "topic:birds"])
]


class IdConvertor(PathConvertor):
    """Path parameter `{user:id}`: an opaque id; unlike Starlette's `path`, it includes line ends."""

    regex = r"[\s\S]*"


register_url_convertor("id", IdConvertor())


class Authorized(RequireScope):
    """Dependency of a route: the caller's key has the required scope, and the purpose of the request is allowed."""

    async def __call__(self, request: Request) -> None:
        """Check the key's scope, then the purpose; errors as in `RequireScope` and `check_purpose`."""
        await super().__call__(request)
        check_purpose(request.scope)


def require(scope: Scope) -> Any:
    """Return the dependency that requires a key with this scope."""
    return Security(Authorized(scope), scopes=[scope])


READ, REVIEW, ADMIN = require("read"), require("review"), require("admin")
