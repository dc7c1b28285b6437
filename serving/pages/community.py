"""The page of the community: its scores, who moved, what moves scores, and how its predictions came true."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import APIRouter, Query, Request, Response

from features.errors import CatalogueError, RegistryError, SnapshotError, UnknownUserError
from features.utc import UtcText, to_iso_utc
from serving.api.dependencies import READ, AsOfQuery, ScopeQuery, ServiceDependency
from serving.middleware.request_context import record_users
from serving.pages.model_report import Attacks, Calibration, attacks, calibration, past_calibration
from serving.pages.models import Version, all_versions
from serving.pages.rendering import PageRoute, page
from serving.pages.swarm import Swarm, swarm
from serving.review.community_change import Movers, movers
from serving.review.distribution import Distribution, distribution
from serving.review.drift import snapshot_drift
from serving.review.feature_effects import feature_effects
from serving.review.past_outcomes import PastOutcomes, past_outcomes, prediction_instant
from serving.runtime.state import ServiceState
from serving.snapshots.snapshot import Snapshot

if TYPE_CHECKING:
    from training.drift import Drift

T = TypeVar("T")
router = APIRouter(route_class=PageRoute, include_in_schema=False)
Part = Literal["movers", "effects", "past", "drift", "versions"]
PartQuery = Annotated[list[Part] | None, Query(alias="part")]
UNANSWERABLE = (CatalogueError, RegistryError, SnapshotError, UnknownUserError)


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
    """What the page of the community shows. A part that takes long to compute is None unless it was asked for.

    Parameters
    ----------
    as_of, model_version, users, horizon_days, level : of the snapshot
    histogram : of the scores
    champion : the version whose report the page shows; None without one
    calibration, attacks : from that report, None where it does not have them
    guarantee : the most points that responses from anybody can move a score, by construction; None where unbounded
    movers : since the snapshot before, or why there are none
    past : what the snapshot before predicted and what happened, with its chart, or why they cannot be compared
    swarm : the points of the features, or why they cannot be computed
    drift : since the training, or why it cannot be measured
    versions : every registered model, or why the registry does not answer

    """

    as_of: UtcText
    model_version: str
    users: int
    horizon_days: int
    level: float
    histogram: Histogram
    champion: str | None
    calibration: Calibration | None
    attacks: Attacks | None
    guarantee: float | None
    movers: Movers | str | None = None
    past: tuple[PastOutcomes, Calibration] | str | None = None
    swarm: Swarm | str | None = None
    drift: "Drift | str | None" = None
    versions: tuple[Version, ...] | str | None = None


def community_view(
    service: ServiceState, snapshot: Snapshot, scope: str = "all", parts: list[Part] | None = None
) -> CommunityView:
    """Collect what the page of the community shows.

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """

    def only_if_asked(part: Part, compute: Callable[[], T]) -> T | str | None:
        try:
            return compute() if part in (parts or ()) else None
        except UNANSWERABLE as error:
            return str(error)

    report = service.champion.figures if service.champion_version else None
    return CommunityView(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        users=snapshot.users,
        horizon_days=snapshot.horizon_days,
        level=snapshot.level,
        histogram=histogram(snapshot, scope),
        champion=service.champion_version,
        calibration=calibration(report, service.champion.bundle.intervals.level) if report else None,
        attacks=attacks(report) if report else None,
        guarantee=service.guarantee,
        movers=only_if_asked("movers", lambda: _movers(service, snapshot, scope)),
        past=only_if_asked("past", lambda: _past(service, snapshot, scope)),
        swarm=only_if_asked("effects", lambda: swarm(feature_effects(snapshot, scope))),
        drift=only_if_asked("drift", lambda: snapshot_drift(snapshot)),
        versions=only_if_asked("versions", lambda: all_versions(service.home)),
    )


def _movers(service: ServiceState, snapshot: Snapshot, scope: str) -> Movers:
    before, after = service.pair(None, snapshot.as_of)
    return after.of_visible_users(
        ("movers", before.as_of, before.model_version, scope), lambda: movers(before, after, scope)
    )


def _past(service: ServiceState, snapshot: Snapshot, scope: str) -> tuple[PastOutcomes, Calibration]:
    before = service.snapshot(prediction_instant(service.home, snapshot))
    outcomes = snapshot.of_visible_users(
        ("past", before.as_of, before.model_version, scope), lambda: past_outcomes(before, snapshot, scope)
    )
    return outcomes, past_calibration(outcomes)


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
def community_page(
    request: Request, service: ServiceDependency, as_of: AsOfQuery, scope: ScopeQuery = "all", parts: PartQuery = None
) -> Response:
    """Return the page of the community; the users who moved most are named in the audit log."""
    view = community_view(service, service.snapshot(as_of), scope, parts)
    moved = (*view.movers.risen, *view.movers.fallen) if isinstance(view.movers, Movers) else ()
    record_users(request.scope, [mover.user for mover in moved])
    return page(request, "community", view=view)
