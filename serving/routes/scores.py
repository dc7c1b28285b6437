"""Many scores in one request."""

from difflib import get_close_matches
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Body, Request, Response
from fastapi.concurrency import run_in_threadpool

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from serving.access.guard import READ
from serving.problems import problems
from serving.rights.notes import note_about
from serving.routes.examples import ROWS, SCORES, answered_either
from serving.routes.forms import Asked, RowScores, UserScore, UserScores
from serving.routes.quick_json import QuickJsonRoute, as_it_is
from serving.routes.state import GivenService
from serving.running.service import Champion, Service
from serving.snapshots.files import told
from serving.snapshots.snapshot import Snapshot

router = APIRouter(prefix="/v1", tags=["scores"], route_class=QuickJsonRoute)
MOST_NAMED = 10
AT_ONCE = 64  # answered without another thread
EXAMPLES = {
    "ids": {"summary": "Users by id", "value": {"ids": ["ann", "bob"], "scope": "all"}},
    "rows": {
        "summary": "Feature rows",
        "value": {"rows": [{"credible_pace_28d": 3.5, "credible_engagers_28d": 4, "repetitions_90d": None}]},
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
    many = len(asked.ids or asked.rows or ()) > AT_ONCE
    return as_it_is(await run_in_threadpool(_answer, asked, service) if many else _answer(asked, service))


def _answer(asked: Asked, service: Service) -> bytes:
    made: UserScores | RowScores
    if asked.ids is not None:
        made = _of_users(service.snapshot(), asked.ids, asked.scope or "all")
    else:
        made = _of_rows(service.champion, asked.rows or [])
    return made.model_dump_json().encode()


def _of_users(snapshot: Snapshot, ids: list[str], scope: str) -> UserScores:
    known = snapshot.known_scores(ids, scope)
    return UserScores(
        as_of=told(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=scope,
        scores=[UserScore(**known[user]) for user in ids if user in known],
        unknown=[user for user in ids if user not in known],
    )


def _of_rows(champion: Champion, rows: list[dict[str, float | None]]) -> RowScores:
    features = list(champion.bundle.features)
    _check_names(rows)
    values = [[row.get(name) for name in features] for row in rows]
    matrix = np.array(values, dtype=float).reshape(len(rows), len(features))
    _check_known(matrix)
    predicted = champion.bundle.predicted(matrix)
    scores = zip(*(column.tolist() for column in predicted.values()), strict=True)
    return RowScores.model_validate(
        {
            "model_version": champion.version,
            "horizon_days": champion.bundle.horizon_days,
            "scores": [dict(zip(predicted, score, strict=True)) for score in scores],
        }
    )


def _check_names(rows: list[dict[str, float | None]]) -> None:
    """Refuse what is no feature; one that the model does not see is one, and moves nothing."""
    strange = sorted({name for row in rows for name in row} - set(CATALOGUE.names))
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
