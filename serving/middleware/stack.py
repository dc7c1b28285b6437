"""The entrance: what every request passes before a route sees it - its sizes, the guard, the rate of its caller."""

from functools import partial
from pathlib import Path

from fastapi import FastAPI

from serving.middleware.api_keys import KeyCache
from serving.middleware.authentication import ApiKeyMiddleware
from serving.middleware.rate_limit import Buckets, RateLimitMiddleware, SharedBuckets
from serving.middleware.request_limits import Limits, RequestLimitMiddleware
from training.home import Home


def install(app: FastAPI, home: Home, guarded: bool, limits: Limits, together: Path | None = None) -> None:
    """Stand before an application.

    Parameters
    ----------
    app : the application
    home : where the API keys are
    guarded : whether they are demanded even while there are none
    limits : of a request
    together : the folder of several processes, across which a caller's requests count

    Raises
    ------
    KeysError : the API keys are damaged

    """
    # The last one added is the first one passed.
    app.add_middleware(RateLimitMiddleware, rate=limits.rate, buckets=partial(_buckets, together))
    app.add_middleware(ApiKeyMiddleware, ring=KeyCache(home, guarded))
    app.add_middleware(RequestLimitMiddleware, limits=limits)


def _buckets(together: Path | None, rate: float, whose: str) -> Buckets:
    return Buckets(rate) if together is None else SharedBuckets(rate, together / f"{whose}.buckets")
