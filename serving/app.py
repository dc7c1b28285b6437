"""The service: an HTTP API over the champion and the snapshots."""

import gc
import logging
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from logging.config import dictConfig
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from serving.api import problems
from serving.api.routes import cases, health, model, privacy, scores, search, users
from serving.middleware import stack
from serving.middleware.access_log import AccessLogMiddleware, log_request, log_settings
from serving.middleware.api_keys import KeyCache
from serving.middleware.authentication import require_keys_off_loopback
from serving.middleware.headers import SecurityHeadersMiddleware, docs_policy
from serving.middleware.http_protocol import Arrivals
from serving.middleware.request_limits import LONGEST_HEADERS, USUAL, Limits
from serving.privacy import setup as privacy_setup
from serving.privacy.deletion import DeletionWorker
from serving.privacy.setup import closing
from serving.runtime.champion_cache import read_cached_champion
from serving.runtime.metrics import Metrics
from serving.runtime.startup_check import check_place, log_missing
from serving.runtime.watcher import REFRESH_SECONDS, Watcher, watch_lifespan
from serving.runtime.workers import (
    WorkerSupervisor,
    check_workers,
    end_with_parent,
    freeze_gc,
    listening,
    shared_folder,
    url,
)
from training.home import Home

log = logging.getLogger("uvicorn.error")
ABOUT = """Influence scores, 0 to 100, that foretell how many people will engage with somebody, and show their working.

User ids are opaque; percent-encode them in paths. The ids `.` and `..`, which clients resolve away there, are answered
by `POST /v1/scores`. Every error is `application/problem+json` (RFC 9457)."""

# How long requests under way may take to end when the service is stopped.
GRACE_SECONDS = 25
TURN_SECONDS = 0.002

# What uvicorn itself holds requests to; it keeps an idle connection for five seconds. Its own lines about requests
# and websockets would hold paths, and these the ids of users.
WIRE: dict[str, Any] = {
    "http": Arrivals,
    "ws": "none",
    "access_log": False,
    "timeout_graceful_shutdown": GRACE_SECONDS,
    "server_header": False,
    "h11_max_incomplete_event_size": 2 * LONGEST_HEADERS,
}
PLACES: dict[str, Any] = {"redirect_slashes": False, "redoc_url": None, "swagger_ui_oauth2_redirect_url": None}


class Application(FastAPI):
    """FastAPI whose OpenAPI document is complete: the one shape of errors, and an example of each answer.

    Every request is logged and counted, and all answers, that to a failure too, have security headers.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """Return everything that answers, seen from outside."""
        answers = SecurityHeadersMiddleware(super().build_middleware_stack(), {"/docs": docs_policy(self)})
        return AccessLogMiddleware(answers, self.state.metrics.count, log_request)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        problems.complete(document)
        return document


def create_app(
    home: Home,
    guarded: bool = False,
    limits: Limits = USUAL,
    refresh: float = REFRESH_SECONDS,
    demand_purpose: bool = False,
    together: Path | None = None,
) -> FastAPI:
    """Build the service; it starts even where the champion or a snapshot is absent, and `/ready` says what is missing.

    Parameters
    ----------
    home : where the registry and the snapshots are
    guarded : whether API keys are demanded even while there are none; else they are from the first key on
    limits : of a request
    refresh : seconds between two looks for a newer champion or snapshot
    demand_purpose : whether requests about people have to say what for
    together : the folder of several workers, if it is to be one of them

    Raises
    ------
    KeysError : the API keys are damaged
    RecordsError : the home's database is none
    CloutError : `refresh` is not more than 0

    """
    app = Application(
        title="Clout",
        version=version("clout-score"),
        description=ABOUT,
        lifespan=closing(watch_lifespan(refresh)),
        **PLACES,
    )
    app.state.home, app.state.clerk, app.state.limits = home, DeletionWorker(home), limits
    app.state.watcher = Watcher(
        home, partial(setattr, app.state, "service"), app.state.clerk.look, read_cached_champion(home)
    )
    app.state.watcher.look_here()
    app.state.metrics = Metrics(lambda: app.state.service, app.state.watcher, together)
    problems.install(app)
    privacy_setup.install(app, home, demand_purpose)
    stack.install(app, home, guarded, limits, together)
    app.include_router(users.by_id)  # asked for most: it is looked through first
    for router in (
        users.router,
        users.what_if_router,
        cases.router,
        privacy.reads_router,
        privacy.router,
        search.router,
        scores.router,
        model.router,
        privacy.purposes_router,
        health.router,
        health.metrics_router,
    ):
        app.include_router(router)
    return app


def serve(
    home: Home,
    host: str,
    port: int,
    limits: Limits = USUAL,
    refresh: float = REFRESH_SECONDS,
    demand_purpose: bool = False,
    workers: int = 1,
) -> None:
    """Answer on an address until the process is told to stop; requests under way are finished.

    Parameters
    ----------
    home : where the registry and the snapshots are
    host, port : the address; port 0 lets the system choose one, which the log names
    limits : of a request
    refresh : seconds between two looks for a newer champion or snapshot
    demand_purpose : whether requests about people have to say what for
    workers : how many processes answer; where there are several, this one starts them, again where one dies

    Raises
    ------
    CloutError : the address is taken or not of this machine, or `refresh` or `workers` is not more than 0
    KeysError : it is no loopback address and there are no API keys, or they are damaged

    """
    check_workers(workers)
    guarded = require_keys_off_loopback(home, host)
    with listening(host, port) as found, suppress(KeyboardInterrupt):
        dictConfig(log_settings())
        log_missing(check_place(home))
        if workers == 1:
            app = _settled(create_app(home, guarded, limits, refresh, demand_purpose))
            log.info("Listening on %s, documented at /docs", url(host, found))
            uvicorn.Server(uvicorn.Config(app, log_config=None, **WIRE)).run(sockets=[found])
            return
        for checked in (partial(watch_lifespan, refresh), partial(KeyCache, home, guarded)):
            checked()  # what is wrong is told here, once, not by each worker
        gc.enable()
        log.info("Listening on %s with %d workers, documented at /docs", url(host, found), workers)
        with shared_folder() as together:
            made = partial(_worker, home, guarded, limits, refresh, demand_purpose, together)
            config = uvicorn.Config(made, factory=True, workers=workers, log_config=log_settings(worker=True), **WIRE)
            WorkerSupervisor(config, [found], together).run()


def _worker(*given: Any, **named: Any) -> FastAPI:
    """Build the application of one worker, in its process."""
    end_with_parent()
    return _settled(create_app(*given, **named))


def _settled(app: FastAPI) -> FastAPI:
    """Settle what was built, and let threads that compute take turns more often.

    A batch would otherwise go through all of it several times, and who asks for one score would wait for a batch.
    """
    sys.setswitchinterval(TURN_SECONDS)
    freeze_gc()
    return app
