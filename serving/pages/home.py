"""The start page: the find box, the newest snapshot and its top users."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from features.utc import UtcText, to_iso_utc
from serving.api.dependencies import READ, ServiceDependency
from serving.middleware.request_context import record_users
from serving.pages.rendering import PageRoute, page
from serving.runtime.state import ServiceState
from serving.snapshots.explanation import ScoreRow
from serving.snapshots.query import SearchQuery
from serving.snapshots.search import search

router = APIRouter(route_class=PageRoute, include_in_schema=False)
TOP_USERS = 10


@dataclass(frozen=True)
class HomeView:
    """What the start page shows.

    Parameters
    ----------
    as_of, model_version, users, horizon_days : of the newest snapshot
    top : the users with the highest scores

    """

    as_of: UtcText
    model_version: str
    users: int
    horizon_days: int
    top: tuple[ScoreRow, ...]


def home_view(service: ServiceState) -> HomeView:
    """Collect what the start page shows.

    Raises
    ------
    SnapshotError : there is no snapshot, or it is damaged

    """
    snapshot = service.snapshot()
    top = search(snapshot, SearchQuery(), TOP_USERS)
    return HomeView(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        users=snapshot.users,
        horizon_days=snapshot.horizon_days,
        top=tuple(top.scores),
    )


@router.get("/", dependencies=[READ])
def home_page(request: Request, service: ServiceDependency) -> Response:
    """Return the start page; before the first snapshot, what to do."""
    if "snapshot" in service.missing:
        record_users(request.scope, [])
        return page(request, "empty", missing=service.missing)
    view = home_view(service)
    record_users(request.scope, [score["user"] for score in view.top])
    return page(request, "home", view=view)
