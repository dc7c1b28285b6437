"""Installation of the pages into the service."""

import logging
from contextlib import suppress

from fastapi import FastAPI

from features.errors import CloutError
from serving.pages import cases, community, compare, find, home, models, sign_in, static_files, user
from serving.pages.rendering import compile_templates
from serving.review.distribution import distribution
from serving.runtime.state import ServiceState
from serving.snapshots.search import SearchQuery, search
from serving.snapshots.user_filter import growth

log = logging.getLogger("clout")
ROUTERS = (
    cases.router,
    community.router,
    compare.router,
    find.router,
    home.router,
    models.router,
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
    for compute in (_explanation, _peer_ranges, _growth):
        try:
            compute(service)
        except CloutError:
            continue  # it is reported to who asks for it
        except Exception:
            log.exception("The pages could not be prepared")


def _explanation(service: ServiceState) -> None:
    snapshot = service.snapshot()
    for score in search(snapshot, SearchQuery(), 1).scores:
        snapshot.explain(score["user"])


def _peer_ranges(service: ServiceState) -> None:
    service.snapshot().peer_ranges  # noqa: B018 - they are computed at their first use


def _growth(service: ServiceState) -> None:
    before, after = service.pair(None, None)
    growth(after, before, "all")


def install(app: FastAPI) -> None:
    """Add the pages and their static files to an application."""
    static_files.install(app)
    for router in ROUTERS:
        app.include_router(router)
