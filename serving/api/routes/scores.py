"""Scores of many users, or of posted feature rows, in one request."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import repeat
from typing import Annotated, Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar, checkpoint
from fastapi import APIRouter, Body, Request, Response
from msgspec import Struct
from msgspec.json import encode
from starlette.requests import ClientDisconnect

from features.catalogue import CATALOGUE
from features.errors import CatalogueError, CloutError, did_you_mean
from features.utc import to_iso_utc
from serving.api.dependencies import READ, ServiceDependency, snapshot_at
from serving.api.examples import ROWS, SCORES, success_either
from serving.api.fast_routes import FastJsonRequest, FastRoute, as_array, decode_rows, json_response, model_columns
from serving.api.problems import problems
from serving.api.schemas import RowScores, ScoreRequest, Table, UserScore, UserScores
from serving.middleware.request_context import record_users
from serving.runtime.state import Champion
from serving.snapshots.snapshot import Snapshot

MAX_NAMES_IN_ERROR = 10
# Larger requests (in posted bytes, or in users or rows) are batches: one at a time is processed, the others wait.
BATCH_BYTES, BATCH = 8 << 10, 64
ROWS_AT_ONCE = 1_000  # larger batches run in another thread; the handover costs as much as some hundred rows
YIELDS_BEFORE_BATCH = 3  # loop iterations in which a waiting request is read, routed and answered
BATCHES: RunVar[CapacityLimiter] = RunVar("batches")
EXAMPLES = {
    "users": {"summary": "Users by id", "value": {"users": ["ann", "bob"], "scope": "all"}},
    "rows": {
        "summary": "Feature rows",
        "value": {
            "rows": [
                {"responder_rate_365d": 3.5, "credible_engagers_decayed_28d": 4, "repetitions_beyond_10_90d": None}
            ]
        },
    },
    "table": {
        "summary": "Feature rows as a table",
        "value": {
            "table": {
                "features": ["responder_rate_365d", "repetitions_beyond_10_90d"],
                "values": [[3.5, None], [0, 2]],
            }
        },
    },
}


class ScoresRoute(FastRoute):
    """A route that scores valid posted rows without FastAPI's parsing and validation."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that passes everything else to FastAPI."""
        handle = super().get_route_handler()

        async def fast(original: Request) -> Response:
            request = FastJsonRequest(original.scope, original.receive)
            body = await _json(request)
            async with _batch_turn(len(body)):
                response = await self._score_rows(request, body)
            return await handle(request) if response is None else response

        return fast

    async def _score_rows(self, request: Request, body: bytes) -> Response | None:
        """Return the scores of posted rows; None for any other body, with a query string, or without a champion."""
        if request.scope["query_string"]:
            return None
        try:
            champion: Champion = request.app.state.service.champion
        except CloutError:
            return None
        matrix = decode_rows(body, tuple(champion.bundle.features))
        if matrix is None:
            return None
        await self.authorize(request)
        record_users(request.scope, [])
        work = partial(_scores_of_rows, champion, matrix)
        if len(matrix) <= ROWS_AT_ONCE:
            return json_response(work())
        # A limiter of its own: the batch starts even if other requests use all threads.
        return json_response(await to_thread.run_sync(work, limiter=CapacityLimiter(1)))


router = APIRouter(prefix="/v1", tags=["scores"], route_class=ScoresRoute)


@router.post(
    "/scores",
    operation_id="score_batch",
    dependencies=[READ],
    response_model=UserScores | RowScores,
    responses=success_either(users=SCORES, rows=ROWS) | problems(422, 503, absent_snapshot=404),
)
async def scores(
    body: Annotated[ScoreRequest, Body(openapi_examples=EXAMPLES)], service: ServiceDependency, request: Request
) -> Response:
    """Score users of a snapshot, the newest by default, or feature rows by the champion; at most 10,000 at once."""
    record_users(request.scope, body.users or [])
    if body.users is not None:
        snapshot = await snapshot_at(request, body.as_of)
        work = partial(_scores_of_users, snapshot, body.users, body.scope or "all")
        return await _respond(work, len(body.users))
    names = tuple(service.champion.bundle.features)
    matrix = _row_matrix(body.rows or [], names) if body.table is None else _table_matrix(body.table, names)
    return await _respond(partial(_scores_of_rows, service.champion, matrix), len(matrix))


async def _json(request: Request) -> bytes:
    """Return the body; empty if its content type is not JSON, or if the client disconnects."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return b""
    try:
        return await request.body()
    except ClientDisconnect:
        return b""


@asynccontextmanager
async def _batch_turn(size: int) -> AsyncIterator[None]:
    """Wait until no other batch is processed, and let smaller requests that arrived meanwhile go first."""
    if size <= BATCH_BYTES:
        yield
        return
    async with _batch_limiter():
        for _ in range(YIELDS_BEFORE_BATCH):
            await checkpoint()
        yield


async def _respond(work: Callable[[], bytes], size: int) -> Response:
    """Return the JSON that `work` produces; a batch runs in another thread."""
    return json_response(work() if size <= BATCH else await to_thread.run_sync(work, limiter=_batch_limiter()))


def _batch_limiter() -> CapacityLimiter:
    """Return the limiter that lets one batch compute at a time: concurrent ones would only slow each other down."""
    limiter = BATCHES.get(None)
    if limiter is None:
        BATCHES.set(limiter := CapacityLimiter(1))
    return limiter


def _scores_of_users(snapshot: Snapshot, users: list[str], scope: str) -> bytes:
    by_user = snapshot.scores_by_user(users, scope)
    response = UserScores(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=scope,
        users=[UserScore.of(by_user[user]) for user in users if user in by_user],
        unknown=[user for user in users if user not in by_user],
    )
    return response.model_dump_json().encode()


def _row_matrix(rows: list[dict[str, float | None]], names: Sequence[str]) -> np.ndarray:
    """Return the model's features of posted rows, shape (rows, features), NaN where unknown."""
    _check_names({name for row in rows for name in row})
    return as_array([[row.get(name) for name in names] for row in rows], len(names))


def _table_matrix(table: Table, names: Sequence[str]) -> np.ndarray:
    """Return the model's features of a posted table, as `_row_matrix` does."""
    _check_names(set(table.features))
    return model_columns(table.features, as_array(table.values, len(table.features)), names)


class FastInterval(Struct, gc=False):
    """The schema Interval."""

    low: int
    high: int
    level: float


class FastRowScore(Struct, gc=False):
    """The schema RowScore, serialised in a third of the time."""

    score: float
    unclipped: float
    expected_audience: float
    interval: FastInterval


def _scores_of_rows(champion: Champion, matrix: np.ndarray) -> bytes:
    """Return the JSON of the schema RowScores."""
    _require_values(matrix)
    predicted = champion.bundle.predicted(matrix)
    columns = [predicted[name].tolist() for name in ("score", "unclipped", "expected_audience")]
    ends = [predicted[name].astype(int).tolist() for name in ("low", "high")]
    intervals = map(FastInterval, *ends, repeat(champion.bundle.intervals.level))
    scores = list(map(FastRowScore, *columns, intervals))
    return encode({"model_version": champion.version, "horizon_days": champion.bundle.horizon_days, "scores": scores})


def _check_names(names: set[str]) -> None:
    """Refuse names that are not in the catalogue; features that the model does not use are ignored.

    Raises
    ------
    CatalogueError : says which names, and which known one is close

    """
    strange = sorted(names - set(CATALOGUE.names))
    if strange:
        named = ", ".join(
            repr(name[:100]) + did_you_mean(name, CATALOGUE.names) for name in strange[:MAX_NAMES_IN_ERROR]
        )
        more = f" and {len(strange) - MAX_NAMES_IN_ERROR} more" if len(strange) > MAX_NAMES_IN_ERROR else ""
        raise CatalogueError(
            f"there is no feature called {named}{more}; /v1/catalogue lists the {len(CATALOGUE)} there are."
        )


def _require_values(matrix: np.ndarray) -> None:
    empty = np.flatnonzero(np.isnan(matrix).all(axis=1))
    if len(empty):
        raise CatalogueError(
            f"{len(empty)} of the {len(matrix)} rows hold no known value; the first is row {empty[0]}, counted "
            "from 0: give each row at least one feature that the model uses (/v1/model lists them); null or "
            "absent features are unknown."
        )
