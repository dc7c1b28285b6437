"""Installation of the pages into the service."""

import logging
from contextlib import suppress

from fastapi import FastAPI
from starlette.datastructures import QueryParams

from features.errors import CloutError
from serving.pages import cases, community, compare, find, home, models, pick, sign_in, static_files, user
from serving.pages.rendering import compile_templates
from serving.pages.user_history import history_view
from serving.pages.user_what_if import what_if_view
from serving.review.distribution import distribution
from serving.runtime.state import ServiceState
from serving.snapshots.query import SearchQuery, UserFilter
from serving.snapshots.search import search
from serving.snapshots.snapshot import Snapshot

log = logging.getLogger("clout")
ROUTERS = (
    cases.router,
    community.router,
    compare.router,
    find.router,
    home.router,
    models.router,
    pick.router,
    sign_in.router,
    user.router,
)


def warm(service: ServiceState) -> None:
    """Compute what every page needs; what fails is reported to who asks for it."""
    compile_templates()
    with suppress(CloutError):
        distribution(service.snapshot())


def prepare(service: ServiceState) -> None:
    """Compute what the first readers would otherwise wait for: some seconds with a million users."""
    for compute in (_prepare_user, _prepare_find, _prepare_community):
        try:
            compute(service, service.snapshot())
        except CloutError:
            continue  # it is reported to who asks for it
        except Exception:
            log.exception("The pages could not be prepared")


def _prepare_user(service: ServiceState, snapshot: Snapshot) -> None:
    for score in search(snapshot, SearchQuery(), 1).scores:
        snapshot.explain(score["user"])
        history_view(service.home, score["user"], score["scope"], snapshot.horizon_days, service.champion_version)
        what_if_view(snapshot, score["user"], score["scope"], {})


def _prepare_find(service: ServiceState, snapshot: Snapshot) -> None:
    """Compute what filters and orders read, by a search that uses all of them."""
    query = UserFilter(SearchQuery(), contains="a", evidence="some", min_growth=0.0, min_people=1.0, sort="growth")
    find.find_view(service, snapshot, query, QueryParams())


def _prepare_community(service: ServiceState, snapshot: Snapshot) -> None:
    community.community_view(service, snapshot, parts=["movers", "effects"])


def install(app: FastAPI) -> None:
    """Add the pages and their static files to an application."""
    static_files.install(app)
    for router in ROUTERS:
        app.router.routes += router.routes
