"""The page of the community: how scores are distributed."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from features.utc import UtcText, to_iso_utc
from serving.api.dependencies import READ, ScopeQuery, SnapshotDependency
from serving.api.fast_routes import TimeoutRoute
from serving.middleware.request_context import record_users
from serving.pages.rendering import page
from serving.review.distribution import Distribution, distribution
from serving.snapshots.snapshot import Snapshot

router = APIRouter(route_class=TimeoutRoute, include_in_schema=False)


@dataclass(frozen=True)
class Bar:
    """A bar of the histogram.

    Parameters
    ----------
    low, high : of the scores, in points
    people : the expected audiences that these scores mean, in people
    interval : the ends of the interval of the median user; None without users
    users, share : how many have such a score, and of all scored users
    left, width, top, height : where the bar lies, in percent of the chart

    """

    low: float
    high: float
    people: tuple[float, float]
    interval: tuple[float, float] | None
    users: int
    share: float
    left: float
    width: float
    top: float
    height: float


@dataclass(frozen=True)
class Histogram:
    """The distribution as a chart; `marks` are points and their expected audience, for the axis."""

    figures: Distribution
    bars: tuple[Bar, ...]
    marks: tuple[tuple[int, float], ...]
    factor: float


@dataclass(frozen=True)
class CommunityView:
    """What the page of the community shows.

    Parameters
    ----------
    as_of, model_version, users, horizon_days, level : of the snapshot
    histogram : of the scores

    """

    as_of: UtcText
    model_version: str
    users: int
    horizon_days: int
    level: float
    histogram: Histogram


def community_view(snapshot: Snapshot, scope: str) -> CommunityView:
    """Collect what the page of the community shows.

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """
    return CommunityView(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        users=snapshot.users,
        horizon_days=snapshot.horizon_days,
        level=snapshot.level,
        histogram=histogram(snapshot, scope),
    )


def histogram(snapshot: Snapshot, scope: str) -> Histogram:
    """Arrange the distribution of scores as a chart."""
    figures, scale = distribution(snapshot, scope), snapshot.bundle.scale
    most = max(*(score_bin.users for score_bin in figures.bins), 1)
    bars = tuple(
        Bar(
            low=score_bin.low,
            high=score_bin.high,
            people=(scale.people(score_bin.low), scale.people(score_bin.high)),
            interval=None
            if score_bin.people_low is None or score_bin.people_high is None
            else (score_bin.people_low, score_bin.people_high),
            users=score_bin.users,
            share=score_bin.users / max(figures.scored, 1),
            left=score_bin.low,
            width=score_bin.high - score_bin.low,
            top=round(100 - 100 * score_bin.users / most, 2),
            height=round(100 * score_bin.users / most, 2),
        )
        for score_bin in figures.bins
    )
    marks = tuple((mark, scale.people(mark)) for mark in range(0, 101, 20))
    return Histogram(figures, bars, marks, scale.factor_per_10_points)


@router.get("/community", dependencies=[READ])
def community_page(request: Request, snapshot: SnapshotDependency, scope: ScopeQuery = "all") -> Response:
    """Return the page of the community."""
    record_users(request.scope, [])
    return page(request, "community", view=community_view(snapshot, scope))
