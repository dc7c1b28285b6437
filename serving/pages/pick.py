"""Picking a group: who is to be in it, what each member adds, and what simpler groups would reach."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from features.ids import parse_id
from serving.api.dependencies import READ, SnapshotDependency
from serving.middleware.request_context import record_users
from serving.pages.find import MOST_SCOPES
from serving.pages.forms import with_labels
from serving.pages.rendering import PageRoute, csv_response, page
from serving.selections.candidates import NETWORK, Count, snapshot_candidates
from serving.selections.select import (
    ALTERNATIVES,
    COUNTS,
    LEAST_SHARED,
    MEMBER_COLUMNS,
    Selection,
    SelectionError,
    SelectionRequest,
    select,
)
from serving.selections.user_files import parse_costs, parse_users
from serving.snapshots.snapshot import Snapshot

router = APIRouter(route_class=PageRoute, include_in_schema=False)
MOST_IN_MATRIX, MOST_OVERLAPS, MOST_DOTS = 12, 10, 60
SHADES, MARKS, SIZES_SHOWN, MARGIN = 4, 4, 10, 3.0
LABELS = {
    "k": "How many users (k)",
    "the count": "Who counts as reached",
    "the limit per network": "At most of one network",
}
LEFT_OUT = {
    "excluded": "excluded",
    "no cost": "has no cost",
    "budget": "over the budget",
    "network": "the network has its users",
}


@dataclass(frozen=True)
class CurvePoint:
    """How many people the first members reach, and where the point lies, in percent of the picture."""

    size: int
    reach: float
    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """The reach of a group by its size.

    Parameters
    ----------
    points : one for each member
    ends : where the largest and the least reach of the range of the whole group lie, in percent; None without a range
    marks : numbers of people, and where they lie, in percent
    sizes : the points whose sizes are written below

    """

    points: tuple[CurvePoint, ...]
    ends: tuple[float, float] | None
    marks: tuple[tuple[float, float], ...]
    sizes: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Bar:
    """What a group of the same size reaches.

    `difference` to the picked group is a share; None for that one itself, or where it reaches nobody. `width` is
    that of the bar, in percent.
    """

    name: str
    reach: float
    difference: float | None
    width: float


@dataclass(frozen=True)
class PickView:
    """A group as the page shows it.

    Parameters
    ----------
    selection : the group
    curve : its reach by size; None for a group without members
    bars : the group and simpler ones
    shades : how dark each cell of the overlap matrix is, 0 to `SHADES`; None where there are too many members for one
    overlaps : the pairs of members who share most, where there is no matrix
    parameters : those of the address, without empty ones

    """

    selection: Selection
    curve: Curve | None
    bars: tuple[Bar, ...]
    shades: list[list[int]] | None
    overlaps: list[tuple[str, str, float]]
    parameters: dict[str, str]

    @property
    def share_of_best(self) -> float:
        """The least share of the best possible group's reach, rounded down to a tenth of a percent."""
        return floor(1_000 * self.selection.guarantee.at_least_of_best) / 1_000

    @property
    def most_alone(self) -> float:
        """The most people whom a member reaches alone."""
        return max(row[k] for k, row in enumerate(self.selection.overlap)) or 1.0

    @property
    def has_dots(self) -> bool:
        """Whether the points of the curve are few enough to be told apart."""
        return len(self.selection.members) <= MOST_DOTS

    def link_to(self, **changes: str) -> dict[str, Any]:
        """Return the parameters of another state of this page."""
        return self.parameters | {"format": None} | changes


@router.get("/pick", dependencies=[READ])
def pick_page(request: Request, snapshot: SnapshotDependency) -> Response:
    """Return the group that an address describes, as a page or as CSV; the form alone where it describes none."""
    parameters = request.query_params
    view = problem = None
    try:
        record_users(request.scope, [])
        if set(parameters) - {"as_of"}:
            selection = _select(request, snapshot, parameters)
            view = pick_view(selection, {name: value for name, value in parameters.items() if value.strip()})
    except SelectionError as error:
        problem = with_labels(str(error), LABELS)
    if view and parameters.get("format") == "csv":
        rows = (list(row.values()) for row in view.selection.rows)
        return csv_response(f"group-{view.selection.as_of[:10]}.csv", MEMBER_COLUMNS, rows)
    scopes = snapshot.ranking.scopes
    return page(
        request,
        "pick",
        422 if problem else 200,
        view=view,
        problem=problem,
        parameters=parameters,
        scopes=tuple(scopes[:MOST_SCOPES]),
        has_networks=any(scope.startswith(NETWORK) for scope in scopes),
        labels=LABELS,
        counts=COUNTS,
        left_out=LEFT_OUT,
    )


def _select(request: Request, snapshot: Snapshot, parameters: QueryParams) -> Selection:
    group = selection_request(parameters)
    record_users(request.scope, [*group.include, *group.exclude, *(group.cost or {})])
    selection = select(snapshot_candidates(snapshot, parameters.get("scope") or "all"), group)
    record_users(request.scope, selection.users)
    return selection


def selection_request(parameters: QueryParams) -> SelectionRequest:
    """Read what a group must satisfy from an address; empty parameters are none.

    Raises
    ------
    SelectionError : a number or an id is not valid

    """
    size = _number(parameters, "k", "k", int)
    costs = [line for line in parameters.get("cost", "").splitlines() if line.strip()]
    return SelectionRequest(
        k=SelectionRequest.k if size is None else size,
        count=_count(parameters.get("count", "")),
        include=parse_users(parameters.get("include", "").splitlines(), "users to include"),
        exclude=parse_users(parameters.get("exclude", "").splitlines(), "users to exclude"),
        cost=parse_costs(map(_user_and_cost, costs), "the list of costs") if costs else None,
        budget=_number(parameters, "budget", "the budget", float),
        max_per_network=_number(parameters, "max_per_network", "the limit per network", int),
    )


def _count(text: str) -> Count:
    counts: tuple[Count, ...] = ("credible", "everybody")
    for count in counts:
        if text == count:
            return count
    if text.strip():
        raise SelectionError(f"the count is {text[:40]!r}; expected {' or '.join(counts)}.")
    return SelectionRequest.count


def _number(parameters: QueryParams, name: str, meaning: str, kind: Callable[[str], Any]) -> Any:
    text = parameters.get(name, "").strip()
    try:
        return kind(text) if text else None
    except ValueError:
        expected = "whole number" if kind is int else "number"
        raise SelectionError(f"{meaning} is {text[:40]!r}; expected a {expected}.") from None


def _user_and_cost(line: str) -> tuple[str, str]:
    """Split a line at its last comma, semicolon or tab."""
    end = max(line.rfind(mark) for mark in ",;\t")
    try:
        user = parse_id(line[: max(end, 0)])
    except ValueError as error:
        raise SelectionError(f"the cost {line[:40]!r} is not valid: {line[:end]!r} {error}.") from error
    if not user:
        raise SelectionError(f"the cost {line[:40]!r} is not valid; expected a user, a comma and a number.")
    return user, line[end + 1 :].strip()


def pick_view(selection: Selection, parameters: dict[str, str]) -> PickView:
    """Arrange a group for the page."""
    small = 1 < len(selection.members) <= MOST_IN_MATRIX
    return PickView(
        selection=selection,
        curve=_curve(selection) if selection.members else None,
        bars=_bars(selection),
        shades=_shades(selection.overlap) if small else None,
        overlaps=[] if small else selection.largest_overlaps(MOST_OVERLAPS),
        parameters=parameters,
    )


def _curve(selection: Selection) -> Curve:
    ends = selection.reach_range
    reaches, size = [member.reach for member in selection.members], len(selection.members)
    most = max([*reaches, ends.most if ends else 0.0])
    step = _round_step(most / MARKS)
    top = step * ceil(most / step)

    def height(people: float) -> float:
        return round(100 - 100 * people / top, 2)

    points = [
        CurvePoint(k, reach, round(MARGIN + (100 - 2 * MARGIN) * (k / size), 3), height(reach))
        for k, reach in enumerate(reaches, 1)
    ]
    every = ceil(size / SIZES_SHOWN)
    return Curve(
        points=tuple(points),
        ends=(height(ends.most), height(ends.least)) if ends else None,
        marks=tuple((step * k, height(step * k)) for k in range(round(top / step) + 1)),
        sizes=tuple(point for point in points if (size - point.size) % every == 0),
    )


def _round_step(least: float) -> float:
    """Return the least of 1, 2 and 5 times a power of ten that is not smaller."""
    power = 10.0 ** ceil(log10(max(least, 1e-6)) - 1)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _bars(selection: Selection) -> tuple[Bar, ...]:
    most = max([selection.reach, *(other.reach for other in selection.alternatives)]) or 1.0

    def bar(name: str, reach: float, difference: float | None) -> Bar:
        return Bar(name, reach, difference, round(100 * reach / most, 2))

    others = [
        bar(
            ALTERNATIVES[other.by].capitalize(),
            other.reach,
            selection.difference(other),
        )
        for other in selection.alternatives
    ]
    return (bar("This group", selection.reach, None), *others)


def _shades(overlap: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return how dark each cell is: by its share of the largest number that two members share."""
    shared = np.array(overlap)
    np.fill_diagonal(shared, 0.0)
    shared[shared < LEAST_SHARED] = 0.0
    shades: list[list[int]] = np.ceil(SHADES * shared / (shared.max() or 1.0)).astype(int).tolist()
    return shades
