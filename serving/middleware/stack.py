"""The order of the request's wrappers, in one list."""

from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware

from serving.middleware.access_log import AccessLogMiddleware, log_request
from serving.middleware.api_keys import KeyCache
from serving.middleware.authentication import ApiKeyMiddleware
from serving.middleware.headers import SecurityHeadersMiddleware, docs_policy
from serving.middleware.rate_limit import RateLimitMiddleware, create_buckets
from serving.middleware.request_limits import Limits, RequestLimitMiddleware


def middleware_stack(
    app: FastAPI, keys: KeyCache, limits: Limits, audit: Middleware, shared_folder: Path | None = None
) -> list[Middleware]:
    """Return what a request passes before a route, outermost first.

    FastAPI puts its own `ServerErrorMiddleware` where the list names it: what stands before it also sees the answers to
    unforeseen errors.

    Parameters
    ----------
    app : the application; its metrics count requests
    keys : the API keys
    limits : of a request
    audit : the audit log's middleware, which is innermost: only requests that are let through are logged
    shared_folder : of several workers, across which a caller's requests count

    """
    return [
        Middleware(AccessLogMiddleware, count=app.state.metrics.count, log=log_request),
        Middleware(SecurityHeadersMiddleware, policies={"/docs": docs_policy(app)}),
        Middleware(ServerErrorMiddleware),
        Middleware(RequestLimitMiddleware, limits=limits),
        Middleware(ApiKeyMiddleware, keys=keys),
        Middleware(RateLimitMiddleware, rate=limits.rate, buckets=partial(create_buckets, shared_folder)),
        audit,
    ]
