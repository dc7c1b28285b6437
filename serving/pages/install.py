"""Installation of the pages into the service."""

from contextlib import suppress

from fastapi import FastAPI

from features.errors import CloutError
from serving.pages import cases, community, compare, find, home, models, sign_in, static_files, user
from serving.pages.rendering import compile_templates
from serving.review.distribution import distribution
from serving.runtime.state import ServiceState

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
    """Prepare what the first reader of a page would otherwise wait for; what fails is reported to who asks for it."""
    compile_templates()
    with suppress(CloutError):
        distribution(service.snapshot())


def install(app: FastAPI) -> None:
    """Add the pages and their static files to an application."""
    static_files.install(app)
    for router in ROUTERS:
        app.include_router(router)
