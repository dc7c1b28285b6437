"""The service: an HTTP API over the champion and the snapshots."""

import logging
import socket
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from logging.config import dictConfig
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from features.errors import CloutError
from serving import problems
from serving.access import entrance
from serving.access.arrivals import Arrivals
from serving.access.guard import check_guarded
from serving.access.limits import LONGEST_HEADERS, USUAL, Limits
from serving.access.security_headers import SecurityHeaders, docs_policy
from serving.routes import health, metrics, model, scores, search, users, what_if
from serving.running.log import log_request, settings
from serving.running.metrics import Metrics
from serving.running.requests_seen import RequestsSeen
from serving.running.watcher import REFRESH_SECONDS, Watcher, watched
from training.home import Home

log = logging.getLogger("uvicorn.error")
ABOUT = """Influence scores, 0 to 100, that foretell how many people will engage with somebody, and show their working.

User ids are opaque; percent-encode them in paths. The ids `.` and `..`, which clients resolve away there, are answered
by `POST /v1/scores`. Every error is `application/problem+json` (RFC 9457)."""

# What uvicorn itself holds requests to; it keeps an idle connection for five seconds. Its own lines about requests
# and websockets would hold paths, and these the ids of users.
WIRE: dict[str, Any] = {
    "http": Arrivals,
    "ws": "none",
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
        answers = SecurityHeaders(super().build_middleware_stack(), {"/docs": docs_policy(self)})
        return RequestsSeen(answers, log_request, self.state.metrics.count)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        problems.complete(document)
        return document


def create_app(home: Home, guarded: bool = False, limits: Limits = USUAL, refresh: float = REFRESH_SECONDS) -> FastAPI:
    """Build the service; it starts even where the champion or a snapshot is absent, and `/ready` says what is missing.

    Parameters
    ----------
    home : where the registry and the snapshots are
    guarded : whether API keys are demanded even while there are none; else they are from the first key on
    limits : of a request
    refresh : seconds between two looks for a newer champion or snapshot

    Raises
    ------
    KeysError : the API keys are damaged
    CloutError : `refresh` is not more than 0

    """
    app = Application(
        title="Clout", version=version("clout-score"), description=ABOUT, lifespan=watched(refresh), **PLACES
    )
    app.state.watcher = Watcher(home, partial(setattr, app.state, "service"))
    app.state.watcher.look_here()
    app.state.metrics = Metrics(lambda: app.state.service, app.state.watcher)
    problems.install(app)
    entrance.install(app, home, guarded, limits)
    for routes in (users, what_if, search, scores, model, health, metrics):
        app.include_router(routes.router)
    return app


def serve(home: Home, host: str, port: int, limits: Limits = USUAL, refresh: float = REFRESH_SECONDS) -> None:
    """Answer on an address until the process is told to stop.

    Parameters
    ----------
    home : where the registry and the snapshots are
    host, port : the address; port 0 lets the system choose one, which the log names
    limits : of a request
    refresh : seconds between two looks for a newer champion or snapshot

    Raises
    ------
    CloutError : the address is taken or not of this machine, or `refresh` is not more than 0
    KeysError : it is no loopback address and there are no API keys, or they are damaged

    """
    guarded = check_guarded(home, host)
    with _listening(host, port) as listening, suppress(KeyboardInterrupt):
        dictConfig(settings())
        app = create_app(home, guarded, limits, refresh)
        config = uvicorn.Config(app, log_config=None, access_log=False, **WIRE)
        log.info("Listening on http://%s:%d, documented at /docs", _in_address(host), listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port < 65_536:
        raise CloutError(f"cannot listen on {host} port {port}: ports are numbered 0 to 65535.")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise CloutError(f"cannot listen on {host} port {port}: {error}. Choose another host or port.") from error
