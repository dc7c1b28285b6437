"""Comparing two users line by line: where the difference of their scores comes from."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from features.catalogue.wording import rounded_to_sum
from serving.api.dependencies import REVIEW, ScopeQuery, SnapshotDependency
from serving.middleware.request_context import record_users
from serving.pages.formats import feature_value
from serving.pages.rendering import PageRoute, page
from serving.snapshots.explanation import Explanation
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import Line

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class LinePair:
    """A feature of both users: its values as text, its points, their difference, and the sentences."""

    feature: str
    values: tuple[str, str]
    points: tuple[float, float]
    difference: float
    sentences: tuple[str, str]


@dataclass(frozen=True)
class FamilyPair:
    """A family of features of both users.

    Parameters
    ----------
    name : of the family
    points : of both users
    difference : second less first, rounded so that all differences add up to that of the scores
    width : of the bar, in percent of half the chart
    lines : its features, by difference, largest first

    """

    name: str
    points: tuple[float, float]
    difference: float
    width: float
    lines: tuple[LinePair, ...]


@dataclass(frozen=True)
class CompareView:
    """Two explanations and what makes their difference, which the families add up to."""

    users: tuple[Explanation, Explanation]
    families: tuple[FamilyPair, ...]
    difference: float


def compare_view(snapshot: Snapshot, first: str, second: str, scope: str) -> CompareView:
    """Compare two users of a snapshot; errors as in `Snapshot.explain`."""
    users = snapshot.explain(first, scope), snapshot.explain(second, scope)
    names = list(dict.fromkeys([*users[0].families, *users[1].families]))
    points = [(users[0].families.get(name, 0.0), users[1].families.get(name, 0.0)) for name in names]
    if users[0].clipping or users[1].clipping:
        names.append("limits of 0 and 100")
        points.append((users[0].clipping, users[1].clipping))
    difference = round(users[1].score, 1) - round(users[0].score, 1)
    exact = [two - one for one, two in points]
    rounded = rounded_to_sum(exact, difference)
    most = max(map(abs, exact), default=0.0) or 1.0
    families = [
        FamilyPair(name, pair, shown, round(100 * abs(value) / most, 3), _lines(users, name))
        for name, pair, shown, value in zip(names, points, rounded, exact, strict=True)
    ]
    return CompareView(users, tuple(sorted(families, key=lambda family: -abs(family.difference))), difference)


@router.get("/compare", dependencies=[REVIEW])
def compare_page(
    request: Request, snapshot: SnapshotDependency, a: str = "", b: str = "", scope: ScopeQuery = "all"
) -> Response:
    """Return the comparison of two users; with fewer, the form that asks for them."""
    record_users(request.scope, [user for user in (a, b) if user])
    view = compare_view(snapshot, a, b, scope) if a and b else None
    if a and not b:
        snapshot.score(a, scope)
    return page(request, "compare", view=view, a=a, b=b, scope=scope)


def _lines(users: tuple[Explanation, Explanation], family: str) -> tuple[LinePair, ...]:
    first, second = ({line.feature: line for line in user.lines if line.family == family} for user in users)
    pairs = [_pair(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.difference)))


def _pair(feature: str, first: Line | None, second: Line | None) -> LinePair:
    lines = (first, second)
    points = tuple(line.points if line else 0.0 for line in lines)
    return LinePair(
        feature=feature,
        values=tuple(feature_value(feature, line.value) if line else "" for line in lines),  # type: ignore[arg-type]
        points=points,  # type: ignore[arg-type]
        difference=points[1] - points[0],
        sentences=tuple(line.sentence if line else "" for line in lines),  # type: ignore[arg-type]
    )
