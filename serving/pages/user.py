"""The page of a user: what the score is, how sure it is, and what made it."""

from dataclasses import dataclass
from math import log

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from serving.api.dependencies import READ, ScopeQuery, SnapshotDependency
from serving.api.fast_routes import TimeoutRoute
from serving.api.routes.users import User
from serving.middleware.request_context import path_prefix, record_users
from serving.pages.formats import DOT_IDS, user_path
from serving.pages.rendering import Reader, page
from serving.pages.waterfall import Waterfall, waterfall
from serving.snapshots.explanation import Explanation, ScoreRow
from serving.snapshots.snapshot import Snapshot
from training.model.scale import MEDIAN_POINTS, P95_POINTS, Scale

router = APIRouter(route_class=TimeoutRoute, include_in_schema=False)


@dataclass(frozen=True)
class ScaleChart:
    """The score with its interval on the scale of 0 to 100 points.

    Parameters
    ----------
    score : in points
    low, high : the ends of the interval, in points
    marks : points and their expected audience in people, for the axis
    factor : by how much 10 points multiply the expected audience
    median, high_end : the points of the median user and of the 95th percentile when the scale was made

    """

    score: float
    low: float
    high: float
    marks: tuple[tuple[int, float], ...]
    factor: float
    median: float = MEDIAN_POINTS
    high_end: float = P95_POINTS


@dataclass(frozen=True)
class UserView:
    """What the page of a user shows.

    Parameters
    ----------
    score : as the API gives it
    scores : those of all scopes
    users : how many the snapshot has
    scale : the chart of the score; None where the model's scale cannot be read
    explanation, waterfall : of the score; None for readers whose key has no scope for explanations

    """

    score: ScoreRow
    scores: tuple[ScoreRow, ...]
    users: int
    scale: ScaleChart
    explanation: Explanation | None
    waterfall: Waterfall | None

    @property
    def is_scored(self) -> bool:
        """Whether there is enough evidence for a score."""
        return self.score["status"] == "scored"


def user_view(snapshot: Snapshot, user: str, scope: str, reader: Reader) -> UserView:
    """Collect what the page of a user shows to a reader; errors as in `Snapshot.explain`."""
    score = snapshot.score(user, scope)
    explanation = snapshot.explain(user, scope) if reader.may("review") else None
    return UserView(
        score=score,
        scores=tuple(snapshot.scores_by_scope(user).values()),
        users=snapshot.users,
        scale=scale_chart(snapshot.bundle.scale, score),
        explanation=explanation,
        waterfall=waterfall(explanation) if explanation else None,
    )


def scale_chart(scale: Scale, score: ScoreRow) -> ScaleChart:
    """Place a score and its interval on the scale."""

    def points(audience: float) -> float:
        return min(max(scale.anchor + scale.points_per_nat * log(audience), 0.0), 100.0) if audience > 0 else 0.0

    marks = tuple((mark, scale.people(mark)) for mark in range(0, 101, 20))
    ends = points(score["low"]), points(score["high"])
    return ScaleChart(score["score"], *ends, marks, scale.factor_per_10_points)


@router.get("/u", dependencies=[READ])
def find_user(request: Request, snapshot: SnapshotDependency, user: str = "", scope: ScopeQuery = "all") -> Response:
    """Lead from the find box to a user's page; show it here for the ids that browsers remove from paths."""
    name = user if user in snapshot.scores_by_scope(user) else user.strip() or user
    record_users(request.scope, [name])
    if name not in DOT_IDS:
        return RedirectResponse(path_prefix(request.scope) + user_path(name), 303)
    return _page(request, snapshot, name, scope)


@router.get("/u/{user:id}", dependencies=[READ])
def user_page(request: Request, user: User, snapshot: SnapshotDependency, scope: ScopeQuery = "all") -> Response:
    """Return the page of a user."""
    return _page(request, snapshot, user, scope)


def _page(request: Request, snapshot: Snapshot, user: str, scope: str) -> Response:
    return page(request, "user", view=user_view(snapshot, user, scope, Reader(request)))
