"""Installation of the pages into the service."""

from fastapi import FastAPI

from serving.pages import cases, community, compare, find, home, models, sign_in, static_files, user

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


def install(app: FastAPI) -> None:
    """Add the pages and their static files to an application."""
    static_files.install(app)
    for router in ROUTERS:
        app.include_router(router)
