"""Comparing two users step by step: where the difference of their scores comes from."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from serving.api.dependencies import REVIEW, ScopeQuery, SnapshotDependency
from serving.middleware.request_context import record_users
from serving.pages.rendering import PageRoute, page
from serving.pages.waterfall import Step, waterfall
from serving.snapshots.explanation import Explanation
from serving.snapshots.facts import FactRow
from serving.snapshots.snapshot import Snapshot

T = TypeVar("T")
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class FigurePair:
    """A figure of a fact, see `FactRow`: of both users, empty and None where a user has none."""

    label: str
    values: tuple[str, str]
    points: tuple[float | None, float | None]


@dataclass(frozen=True)
class StepPair:
    """A step of the waterfalls of both users.

    Parameters
    ----------
    name : as on the users' pages
    points : of both users; None where it is no step of a user
    difference : second less first
    width : of the bar, in percent of half the chart
    figures : what the facts of the step are made of

    """

    name: str
    points: tuple[float | None, float | None]
    difference: float
    width: float
    figures: tuple[FigurePair, ...]


@dataclass(frozen=True)
class CompareView:
    """Two explanations and what makes their difference, which the steps add up to; of whom the ranks are."""

    users: tuple[Explanation, Explanation]
    ranked_among: str
    steps: tuple[StepPair, ...]
    difference: float


def compare_view(snapshot: Snapshot, first: str, second: str, scope: str) -> CompareView:
    """Compare two users of a snapshot; errors as in `Snapshot.explain`."""
    users = snapshot.explain(first, scope), snapshot.explain(second, scope)
    first_steps, second_steps = (waterfall(user).steps for user in users)
    pairs = _pairs(first_steps, second_steps, lambda step: step.name)
    differences = [(two.points if two else 0.0) - (one.points if one else 0.0) for one, two in pairs.values()]
    most = max(map(abs, differences), default=0.0) or 1.0
    steps = [
        StepPair(
            name=name,
            points=(one.points if one else None, two.points if two else None),
            difference=round(difference, 1),
            width=round(100 * abs(difference) / most, 3),
            figures=_figures(one, two),
        )
        for ((name, _), (one, two)), difference in zip(pairs.items(), differences, strict=True)
    ]
    return CompareView(
        users=users,
        ranked_among="active" if snapshot.ranks_among_active(scope) else "all",
        steps=tuple(sorted(steps, key=lambda step: -abs(step.difference))),
        difference=round(users[1].score, 1) - round(users[0].score, 1),
    )


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


def _figures(first: Step | None, second: Step | None) -> tuple[FigurePair, ...]:
    """Return the figures of a step of both users, those of one label beside each other."""
    pairs = _pairs(_rows(first), _rows(second), lambda row: row.label)
    return tuple(
        FigurePair(
            label=label,
            values=(one.value if one else "", two.value if two else ""),
            points=(one.points if one else None, two.points if two else None),
        )
        for (label, _), (one, two) in pairs.items()
    )


def _rows(step: Step | None) -> tuple[FactRow, ...]:
    return step.fact.rows if step and step.fact else ()


def _pairs(
    first: Sequence[T], second: Sequence[T], name: Callable[[T], str]
) -> dict[tuple[str, int], tuple[T | None, T | None]]:
    """Pair the parts of two users by name, and parts of one name in their order; None where one has no such part."""
    one, two = (_numbered(parts, name) for parts in (first, second))
    return {key: (one.get(key), two.get(key)) for key in dict.fromkeys([*one, *two])}


def _numbered(parts: Sequence[T], name: Callable[[T], str]) -> dict[tuple[str, int], T]:
    """Return parts by name and number among those of the name, counted from 0."""
    numbers = Counter[str]()
    result = {}
    for part in parts:
        result[name(part), numbers[name(part)]] = part
        numbers[name(part)] += 1
    return result
