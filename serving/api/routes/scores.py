"""Many scores in one request."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar, checkpoint
from fastapi import APIRouter, Body, Request, Response
from msgspec import Struct
from msgspec.json import encode
from starlette.requests import ClientDisconnect

from features.catalogue import CATALOGUE
from features.errors import CatalogueError, CloutError
from features.utc import to_iso_utc
from serving.api.dependencies import READ, ServiceDependency
from serving.api.examples import ROWS, SCORES, answered_either
from serving.api.fast_routes import FastJsonRequest, FastRoute, as_array, json_response, read_posted, seen
from serving.api.problems import problems
from serving.api.schemas import RowScores, ScoreRequest, Table, UserScore, UserScores
from serving.middleware.request_context import record_users
from serving.runtime.state import Champion
from serving.snapshots.snapshot import Snapshot

MOST_NAMED = 10
# What is larger is a batch, and waits until no other is worked on: so many bytes posted, or users or rows asked for.
BATCH_BYTES, BATCH = 8 << 10, 64
ROWS_AT_ONCE = 1_000  # a batch of more computes in another thread, to hand over to which takes as long as some hundred
STEPS_OF_OTHERS = 3  # of the loop, within which a request that has arrived is read, routed and answered
BATCHES: RunVar[CapacityLimiter] = RunVar("batches")
EXAMPLES = {
    "ids": {"summary": "Users by id", "value": {"ids": ["ann", "bob"], "scope": "all"}},
    "rows": {
        "summary": "Feature rows",
        "value": {"rows": [{"credible_pace_28d": 3.5, "credible_engagers_28d": 4, "repetitions_90d": None}]},
    },
    "table": {
        "summary": "Feature rows as a table",
        "value": {"table": {"features": ["credible_pace_28d", "repetitions_90d"], "values": [[3.5, None], [0, 2]]}},
    },
}


class ScoresRoute(FastRoute):
    """A route to which posted rows come without their forms, where there is nothing wrong with them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which leaves everything else to FastAPI."""
        handle = super().get_route_handler()

        async def quickly(given: Request) -> Response:
            request = FastJsonRequest(given.scope, given.receive)
            body = await _json(request)
            async with _turn(len(body)):
                answer = await self._straight(request, body)
            return await handle(request) if answer is None else answer

        return quickly

    async def _straight(self, request: Request, body: bytes) -> Response | None:
        """Answer rows that a champion sees; None where it is anything else, or there is no champion."""
        try:
            champion: Champion = request.app.state.service.champion
        except CloutError:
            return None
        matrix = read_posted(body, tuple(champion.bundle.features))
        if matrix is None:
            return None
        await self.passed(request)
        record_users(request.scope, [])
        work = partial(_scored, champion, matrix)
        if len(matrix) <= ROWS_AT_ONCE:
            return json_response(work())
        return json_response(
            await to_thread.run_sync(work, limiter=CapacityLimiter(1))
        )  # however many threads others hold


router = APIRouter(prefix="/v1", tags=["scores"], route_class=ScoresRoute)


@router.post(
    "/scores",
    dependencies=[READ],
    response_model=UserScores | RowScores,
    responses=answered_either(ids=SCORES, rows=ROWS) | problems(422, 503),
)
async def scores(
    asked: Annotated[ScoreRequest, Body(openapi_examples=EXAMPLES)], service: ServiceDependency, request: Request
) -> Response:
    """Score users of the newest snapshot by id, or feature rows by the champion; at most 10,000 at once."""
    record_users(request.scope, asked.ids or [])
    if asked.ids is not None:
        work = partial(_of_users, service.snapshot(), asked.ids, asked.scope or "all")
        return await _answered(work, len(asked.ids))
    names = tuple(service.champion.bundle.features)
    matrix = _of_rows(asked.rows or [], names) if asked.table is None else _of_table(asked.table, names)
    return await _answered(partial(_scored, service.champion, matrix), len(matrix))


async def _json(request: Request) -> bytes:
    """Return the body; nothing where it says to be something else than JSON, or does not come."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return b""
    try:
        return await request.body()
    except ClientDisconnect:
        return b""


@asynccontextmanager
async def _turn(size: int) -> AsyncIterator[None]:
    """Wait until no other batch is worked on, and let whoever asked for less meanwhile be answered first."""
    if size <= BATCH_BYTES:
        yield
        return
    async with _one_by_one():
        for _ in range(STEPS_OF_OTHERS):
            await checkpoint()
        yield


async def _answered(work: Callable[[], bytes], size: int) -> Response:
    """Answer what a work has written, a batch in another thread."""
    return json_response(work() if size <= BATCH else await to_thread.run_sync(work, limiter=_one_by_one()))


def _one_by_one() -> CapacityLimiter:
    """Let one batch compute at a time: threads that do take turns at every step, which costs more than it brings."""
    limiter = BATCHES.get(None)
    if limiter is None:
        BATCHES.set(limiter := CapacityLimiter(1))
    return limiter


def _of_users(snapshot: Snapshot, ids: list[str], scope: str) -> bytes:
    known = snapshot.known_scores(ids, scope)
    found = UserScores(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=scope,
        scores=[UserScore(**known[user]) for user in ids if user in known],
        unknown=[user for user in ids if user not in known],
    )
    return found.model_dump_json().encode()


def _of_rows(rows: list[dict[str, float | None]], names: Sequence[str]) -> np.ndarray:
    """Return the features that the model sees, shape (rows, features), NaN where unknown."""
    _check_names({name for row in rows for name in row})
    return as_array([[row.get(name) for name in names] for row in rows], len(names))


def _of_table(table: Table, names: Sequence[str]) -> np.ndarray:
    """Return what `_of_rows` does."""
    _check_names(set(table.features))
    return seen(table.features, as_array(table.values, len(table.features)), names)


class Scored(Struct, gc=False):
    """The form RowScore, which is written in a third of the time so."""

    score: float
    unclipped: float
    expected_audience: float
    low: int
    high: int


def _scored(champion: Champion, matrix: np.ndarray) -> bytes:
    """Write the form RowScores."""
    _check_known(matrix)
    predicted = champion.bundle.predicted(matrix)
    columns = [predicted[name].tolist() for name in ("score", "unclipped", "expected_audience")]
    ends = [predicted[name].astype(int).tolist() for name in ("low", "high")]
    scored = list(map(Scored, *columns, *ends))
    return encode({"model_version": champion.version, "horizon_days": champion.bundle.horizon_days, "scores": scored})


def _check_names(given: set[str]) -> None:
    """Refuse what is no feature; one that the model does not see is one, and moves nothing."""
    strange = sorted(given - set(CATALOGUE.names))
    if strange:
        named = ", ".join(_with_nearest(name, CATALOGUE.names) for name in strange[:MOST_NAMED])
        more = f" and {len(strange) - MOST_NAMED} more" if len(strange) > MOST_NAMED else ""
        raise CatalogueError(
            f"there is no feature called {named}{more}; /v1/catalogue lists the {len(CATALOGUE)} there are."
        )


def _with_nearest(name: str, features: list[str]) -> str:
    near = get_close_matches(name[:100], features, n=1)
    return f"{name[:100]!r} (did you mean {near[0]!r}?)" if near else repr(name[:100])


def _check_known(matrix: np.ndarray) -> None:
    empty = np.flatnonzero(np.isnan(matrix).all(axis=1))
    if len(empty):
        raise CatalogueError(
            f"{len(empty)} of the {len(matrix)} rows hold no known value, the first of them row {empty[0]}, counted "
            "from 0: give each row at least one feature that the model sees (/v1/model lists them); those that are "
            "null or absent are unknown."
        )
