"""The service: an HTTP API and pages over the champion and the snapshots."""

import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from importlib.metadata import version
from itertools import chain
from logging.config import dictConfig
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from serving.api import docs, problems
from serving.api.routes import cases, health, model, privacy, scores, search, selections, users
from serving.middleware.access_log import AccessLogMiddleware, log_request, log_settings
from serving.middleware.api_keys import KeyCache, read_keys
from serving.middleware.authentication import ApiKeyMiddleware, require_keys_off_loopback
from serving.middleware.head_requests import HeadMiddleware
from serving.middleware.headers import SecurityHeadersMiddleware
from serving.middleware.page_sessions import PageSessionMiddleware, PageSessions
from serving.middleware.proxy import Proxy, ProxyMiddleware
from serving.middleware.rate_limit import RateLimitMiddleware, create_buckets
from serving.middleware.request_limits import USUAL, HeaderLimitProtocol, Limits, RequestLimitMiddleware
from serving.pages import install as pages
from serving.pages import static_files
from serving.pages.error_pages import ErrorPageMiddleware
from serving.privacy.audit_files import AuditError
from serving.privacy.audit_log import AuditLog
from serving.privacy.audit_middleware import AuditMetrics, AuditMiddleware
from serving.privacy.cases import Cases
from serving.privacy.deletion import DeletionWorker
from serving.privacy.purposes import USUAL_PURPOSES, PurposePolicy
from serving.runtime.metrics import Metrics
from serving.runtime.startup_check import check_events, check_home, log_missing
from serving.runtime.state import ServiceState, read_cached_champion
from serving.runtime.watcher import REFRESH_SECONDS, Watcher, check_refresh
from serving.runtime.workers import (
    HEALTH_CHECK_SECONDS,
    WorkerSupervisor,
    check_workers,
    create_shared_folder,
    end_with_parent,
    freeze_gc,
    listening,
    url,
)
from training.home import Home
from training.records.database import Records, RecordsError

log = logging.getLogger("uvicorn.error")
ABOUT = """Influence scores, 0 to 100, that predict how many people will engage with a user, and how they are made up.

User ids are opaque; percent-encode them in paths. Clients remove the ids `.` and `..` from paths: send these two to
`POST /v1/scores` instead. Every error is `application/problem+json` (RFC 9457)."""

# How long requests in progress may take to finish when the service is stopped.
GRACE_SECONDS = 25
TURN_SECONDS = 0.002

# uvicorn's settings; it closes an idle connection after five seconds. Its own access log and its log lines about
# websockets are off, because they contain paths, and paths contain user ids.
WIRE: dict[str, Any] = {
    "http": HeaderLimitProtocol,
    "loop": "uvloop",
    "ws": "none",
    "access_log": False,
    "timeout_graceful_shutdown": GRACE_SECONDS,
    "timeout_worker_healthcheck": HEALTH_CHECK_SECONDS,
    "server_header": False,
    "proxy_headers": False,  # ProxyMiddleware reads them
}
PATHS: dict[str, Any] = {"redirect_slashes": False, "redoc_url": None, "docs_url": None, "openapi_url": None}


DIRECT = Proxy()
ROUTERS = (
    users.by_id,  # first, as it gets the most requests
    users.router,
    cases.router,
    privacy.reads_router,
    privacy.router,
    search.router,
    scores.router,
    selections.router,
    model.router,
    privacy.purposes_router,
    health.router,
    health.metrics_router,
)
OPEN_PATHS = docs.OPEN_PATHS | static_files.open_paths() | {"/sign-in"}


class Application(FastAPI):
    """FastAPI with the service's middleware and a complete OpenAPI document: problem details and examples."""

    outer: Sequence[Middleware] = ()

    def use(self, stack: list[Middleware]) -> None:
        """Use a middleware stack; FastAPI places those behind `ServerErrorMiddleware`, which it has itself."""
        classes: list[object] = [item.cls for item in stack]
        errors = classes.index(ServerErrorMiddleware)
        self.outer, self.user_middleware = stack[:errors], stack[errors + 1 :]

    def build_middleware_stack(self) -> ASGIApp:
        """Return the application within its middleware."""
        app = super().build_middleware_stack()
        for cls, args, options in reversed(self.outer):
            app = cls(app, *args, **options)
        return app

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; the title of an operation is its id in words, such as `Get score`."""
        document = super().openapi()
        for operation in chain.from_iterable(methods.values() for methods in document["paths"].values()):
            operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
        problems.complete(document)
        return document


def create_app(
    home: Home,
    guarded: bool = False,
    limits: Limits = USUAL,
    refresh: float = REFRESH_SECONDS,
    purposes: PurposePolicy = USUAL_PURPOSES,
    shared_folder: Path | None = None,
    proxy: Proxy = DIRECT,
    events: Path | None = None,
) -> FastAPI:
    """Build the service; it starts even where the champion or a snapshot is absent, and `/ready` says what is missing.

    Parameters
    ----------
    home : where the registry and the snapshots are
    guarded : require API keys even while none exist; otherwise they are required once there is one
    limits : of a request
    refresh : seconds between checks for a newer champion or snapshot
    purposes : the purposes that requests about users may or must name
    shared_folder : the folder that several workers share, if this is one of them
    proxy : the proxy in front of the service
    events : the event table that was scored, whose posts the pages show; None for none

    Raises
    ------
    KeysError : the API keys are damaged
    RecordsError : the home's database is not SQLite or PostgreSQL
    CloutError : `refresh` is not more than 0

    """
    check_refresh(refresh)
    app = Application(
        title="Clout",
        version=version("clout-score"),
        description=ABOUT,
        lifespan=partial(_lifespan, refresh),
        **PATHS,
    )
    app.state.home, app.state.deletion_worker, app.state.limits = home, DeletionWorker(home), limits
    app.state.events, app.state.running = events, False
    app.state.watcher = Watcher(
        home,
        partial(_publish, app),
        app.state.deletion_worker.start_if_pending,
        read_cached_champion(home),
    )
    app.state.watcher.look_locally()
    app.state.metrics = Metrics(lambda: app.state.service, app.state.watcher, shared_folder)
    problems.install(app)
    _add_privacy(app, home, purposes)
    app.state.keys, app.state.page_sessions = KeyCache(home, guarded), PageSessions(Records(home))
    app.use(_middleware_stack(app, limits, shared_folder, proxy))
    docs.install(app)
    for router in ROUTERS:
        app.router.routes += router.routes
    pages.install(app)
    return app


def _publish(app: FastAPI, service: ServiceState) -> None:
    """Answer from a new state, after preparing what its first readers would wait for; at the start it comes later."""
    pages.warm(service)
    if app.state.running:
        pages.prepare(service)
    app.state.service = service


def _add_privacy(app: FastAPI, home: Home, purposes: PurposePolicy) -> None:
    app.state.audit_log = AuditLog(home)
    app.state.cases = Cases(Records(home))
    app.state.purposes = purposes
    with suppress(AuditError):  # /ready reports it, and requests about users are refused
        app.state.audit_log.check()
    app.state.metrics.registry.register(AuditMetrics(app.state.audit_log))


def _middleware_stack(app: FastAPI, limits: Limits, shared_folder: Path | None, proxy: Proxy) -> list[Middleware]:
    """Return what a request passes before a route, outermost first.

    Middleware before `ServerErrorMiddleware` also sees the responses to unexpected errors. The audit log comes
    late, so it records only requests that passed the others. Workers with a shared folder share a caller's rate limit.
    """
    return [
        Middleware(ProxyMiddleware, proxy=proxy),
        Middleware(AccessLogMiddleware, count=app.state.metrics.count, log=log_request),
        Middleware(SecurityHeadersMiddleware, policies={docs.PATH: docs.POLICY}),
        Middleware(ErrorPageMiddleware),
        Middleware(ServerErrorMiddleware),
        Middleware(RequestLimitMiddleware, limits=limits),
        Middleware(PageSessionMiddleware, sessions=app.state.page_sessions),
        Middleware(ApiKeyMiddleware, keys=app.state.keys, open_paths=OPEN_PATHS),
        Middleware(RateLimitMiddleware, rate=limits.rate, buckets=partial(create_buckets, shared_folder)),
        Middleware(AuditMiddleware, audit_log=app.state.audit_log),
        Middleware(HeadMiddleware),
    ]


@asynccontextmanager
async def _lifespan(refresh: float, app: FastAPI) -> AsyncIterator[None]:
    """Watch for newer parts while the application runs, then close the audit log."""
    app.state.running = True
    Thread(target=pages.prepare, args=(app.state.service,), name="preparation", daemon=True).start()
    with closing(app.state.audit_log), app.state.watcher.watching(refresh):
        yield


def serve(
    home: Home,
    host: str,
    port: int,
    limits: Limits = USUAL,
    refresh: float = REFRESH_SECONDS,
    purposes: PurposePolicy = USUAL_PURPOSES,
    workers: int = 1,
    proxy: Proxy = DIRECT,
    events: Path | None = None,
    on_listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve on an address until the process is stopped; requests in progress are finished.

    Parameters
    ----------
    home : where the registry and the snapshots are
    host, port : the address; port 0 lets the system choose one, which the log names
    limits, refresh, purposes : as in `create_app`
    workers : how many processes answer; with several, this process supervises them
    proxy : the proxy in front of the service
    events : as in `create_app`
    on_listening : called with the address as a URL, once the service listens

    Raises
    ------
    CloutError : the address is in use or not of this machine, or `refresh` or `workers` is not more than 0
    KeysError : the address is not a loopback address and there are no API keys, or `keys.json` is damaged

    """
    check_workers(workers)
    guarded = require_keys_off_loopback(home, host)
    with listening(host, port) as listener, suppress(KeyboardInterrupt):
        address = url(host, listener)
        on_listening(address)
        dictConfig(log_settings())
        log_missing([*check_home(home), *check_events(home, events)])
        create = partial(
            create_app, home, guarded, limits=limits, refresh=refresh, purposes=purposes, proxy=proxy, events=events
        )
        if workers == 1:
            app = _prepare(create())
            log.info("Listening on %s, documented at /docs", address)
            uvicorn.Server(uvicorn.Config(app, log_config=None, **WIRE)).run(sockets=[listener])
            return
        check_refresh(refresh)  # report errors here once, not in each worker
        with suppress(RecordsError):  # then requests are answered 503
            read_keys(home)
        gc.enable()
        log.info("Listening on %s with %d workers, documented at /docs", address, workers)
        with create_shared_folder() as folder:
            create_worker = partial(_create_in_worker, partial(create, shared_folder=folder))
            config = uvicorn.Config(
                create_worker, factory=True, workers=workers, log_config=log_settings(worker=True), **WIRE
            )
            WorkerSupervisor(config, [listener]).run()


def _create_in_worker(create: Callable[[], FastAPI]) -> FastAPI:
    """Build the application of one worker, in its process."""
    end_with_parent()
    return _prepare(create())


def _prepare(app: FastAPI) -> FastAPI:
    """Freeze the objects created at startup, and let computing threads switch more often.

    Otherwise the garbage collector scans these objects several times during a batch, and single scores wait for it.
    """
    sys.setswitchinterval(TURN_SECONDS)
    freeze_gc()
    return app
