"""Many scores in one request."""

from difflib import get_close_matches
from typing import Annotated

import numpy as np
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Body, Request, Response
from pydantic_core import to_json

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from serving.access.guard import READ
from serving.problems import problems
from serving.rights.notes import note_about
from serving.routes.examples import ROWS, SCORES, answered_either
from serving.routes.forms import Asked, RowScores, Table, UserScore, UserScores
from serving.routes.quick_json import QuickJsonRoute, as_it_is
from serving.routes.state import GivenService
from serving.running.service import Champion, Service
from serving.snapshots.files import told
from serving.snapshots.snapshot import Snapshot

router = APIRouter(prefix="/v1", tags=["scores"], route_class=QuickJsonRoute)
MOST_NAMED = 10
AT_ONCE = 64  # answered without another thread
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


@router.post(
    "/scores",
    dependencies=[READ],
    response_model=UserScores | RowScores,
    responses=answered_either(ids=SCORES, rows=ROWS) | problems(422, 503),
)
async def scores(
    asked: Annotated[Asked, Body(openapi_examples=EXAMPLES)], service: GivenService, request: Request
) -> Response:
    """Score users of the newest snapshot by id, or feature rows by the champion; at most 10,000 at once."""
    note_about(request.scope, asked.ids or [])
    many = len(asked.ids or asked.rows or (asked.table.values if asked.table else ())) > AT_ONCE
    if many:
        return as_it_is(await to_thread.run_sync(_answer, asked, service, limiter=_one_by_one()))
    return as_it_is(_answer(asked, service))


def _one_by_one() -> CapacityLimiter:
    """Let one batch compute at a time: threads that do take turns at every step, which costs more than it brings."""
    limiter = BATCHES.get(None)
    if limiter is None:
        BATCHES.set(limiter := CapacityLimiter(1))
    return limiter


def _answer(asked: Asked, service: Service) -> bytes:
    if asked.ids is not None:
        return _of_users(service.snapshot(), asked.ids, asked.scope or "all").model_dump_json().encode()
    champion = service.champion
    names = list(champion.bundle.features)
    matrix = _of_rows(asked.rows or [], names) if asked.table is None else _of_table(asked.table, names)
    return _of_matrix(champion, matrix)


def _of_users(snapshot: Snapshot, ids: list[str], scope: str) -> UserScores:
    known = snapshot.known_scores(ids, scope)
    return UserScores(
        as_of=told(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=scope,
        scores=[UserScore(**known[user]) for user in ids if user in known],
        unknown=[user for user in ids if user not in known],
    )


def _of_rows(rows: list[dict[str, float | None]], names: list[str]) -> np.ndarray:
    """Return the features that the model sees, shape (rows, features), NaN where unknown."""
    _check_names({name for row in rows for name in row})
    values = [[row.get(name) for name in names] for row in rows]
    return np.array(values, dtype=float).reshape(len(rows), len(names))


def _of_table(table: Table, names: list[str]) -> np.ndarray:
    """Return what `_of_rows` does."""
    _check_names(set(table.features))
    matrix = np.full((len(table.values), len(names)), np.nan)
    found = np.array(table.values, dtype=float).reshape(len(table.values), len(table.features))
    for place, name in enumerate(table.features):
        if name in names:
            matrix[:, names.index(name)] = found[:, place]
    return matrix


def _of_matrix(champion: Champion, matrix: np.ndarray) -> bytes:
    """Write the form RowScores, which takes half the time without making one."""
    _check_known(matrix)
    predicted = champion.bundle.predicted(matrix)
    columns = [predicted[name].tolist() for name in ("score", "unclipped", "expected_audience")]
    ends = [predicted[name].astype(int).tolist() for name in ("low", "high")]
    scores = [
        {"score": score, "unclipped": unclipped, "expected_audience": expected, "low": low, "high": high}
        for score, unclipped, expected, low, high in zip(*columns, *ends, strict=True)
    ]
    told = {"model_version": champion.version, "horizon_days": champion.bundle.horizon_days, "scores": scores}
    return to_json(told)


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
