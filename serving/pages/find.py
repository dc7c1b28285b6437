"""Finding users: filters, a sortable table in pages, CSV, and ids to complete what is typed."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, cast, get_args

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from features.errors import CloutError
from features.utc import UtcText, to_iso_utc
from serving.api.dependencies import READ, ServiceDependency, SnapshotDependency
from serving.middleware.request_context import record_users
from serving.pages.forms import with_labels
from serving.pages.rendering import PageRoute, csv_response, page
from serving.runtime.state import ServiceState
from serving.snapshots.explanation import ScoreRow
from serving.snapshots.query import EvidenceFilter, RangeError, SearchQuery, Sort, UserFilter
from serving.snapshots.snapshot import Snapshot
from serving.snapshots.user_filter import growth_of, matching_rows

router = APIRouter(route_class=PageRoute, include_in_schema=False)
USERS_PER_PAGE, MOST_IN_CSV, MOST_SUGGESTIONS, MOST_SCOPES = 50, 10_000, 8, 500
RANGES = {
    "score": "Score",
    "percentile": "Percentile",
    "growth": "Growth in points",
    "people": "People who engaged in a year",
}
LEAST = {
    "min_credibility": "Credible among them, at least (%)",
    "min_peer_percentile": "Percentile among peers, at least",
}
LABELS = {
    **{f"min_{name}": f"{label}, at least" for name, label in RANGES.items()},
    **{f"max_{name}": f"{label}, at most" for name, label in RANGES.items()},
    **LEAST,
}
CSV_COLUMNS = (
    "user",
    "scope",
    "score",
    "expected_audience",
    "low",
    "high",
    "percentile",
    "peer_percentile",
    "evidence",
)
COLUMNS: dict[Sort, str] = {
    "user": "User",
    "score": "Score",
    "growth": "Growth",
    "expected_audience": "People expected",
    "peer_percentile": "Among peers",
}
TYPED = ("user", "a", "b")  # fields that complete ids


@dataclass(frozen=True)
class FindView:
    """A page of users.

    Parameters
    ----------
    query : the filter and the order
    scores : the users of this page
    growth : their change of score since `before`, in points
    total : how many users match
    number, pages : this page, counted from 1, and how many there are
    as_of, before : the instants of the snapshot and of the one before it, None without one
    scopes : to choose from
    parameters : those of the address, without empty ones, for links to other pages and orders

    """

    query: UserFilter
    scores: list[ScoreRow]
    growth: dict[str, float]
    total: int
    number: int
    pages: int
    as_of: UtcText
    before: UtcText | None
    scopes: tuple[str, ...]
    parameters: dict[str, str]

    def link_to(self, **changes: Any) -> dict[str, Any]:
        """Return the parameters of another state of this page."""
        return self.parameters | {"page": None, "format": None} | changes


@router.get("/find", dependencies=[READ])
def find_page(request: Request, service: ServiceDependency, snapshot: SnapshotDependency) -> Response:
    """Return the users that match, as a page or as CSV; or ids that begin with or contain the typed text."""
    parameters = request.query_params
    if parameters.get("part") == "suggestions":
        users = suggestions(snapshot, next((parameters[name] for name in TYPED if name in parameters), ""))
        record_users(request.scope, users)
        return page(request, "suggestions", users=users)
    problem = None
    try:
        query = user_filter(parameters)
    except RangeError as error:
        query, problem = UserFilter(SearchQuery()), with_labels(str(error), LABELS)
    if parameters.get("format") == "csv" and problem is None:
        return _csv(request, service, snapshot, query)
    view = find_view(service, snapshot, query, parameters)
    record_users(request.scope, [] if problem else [score["user"] for score in view.scores])
    status = 422 if problem else 200
    return page(request, "find", status, view=view, columns=COLUMNS, ranges=RANGES, least=LEAST, problem=problem)


def find_view(service: ServiceState, snapshot: Snapshot, query: UserFilter, parameters: QueryParams) -> FindView:
    """Return a page of the users that match; errors as in `matching_rows`."""
    before = _before(service, snapshot)
    rows = matching_rows(snapshot, query, before)
    pages = max(-(-len(rows) // USERS_PER_PAGE), 1)
    text = parameters.get("page", "1")
    number = min(max(int(text), 1), pages) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    scores = snapshot.scores_at(rows[(number - 1) * USERS_PER_PAGE : number * USERS_PER_PAGE].tolist())
    return FindView(
        query=query,
        scores=scores,
        growth=growth_of(scores, before, query.bounds.scope),
        total=len(rows),
        number=number,
        pages=pages,
        as_of=to_iso_utc(snapshot.as_of),
        before=to_iso_utc(before.as_of) if before else None,
        scopes=tuple(snapshot.ranking.scopes[:MOST_SCOPES]),
        parameters={name: value for name, value in parameters.items() if value},
    )


def user_filter(parameters: QueryParams) -> UserFilter:
    """Read the filter and the order of an address; empty parameters are none.

    Raises
    ------
    RangeError : a bound is not a number or lies outside of its limits, or a range begins above its end

    """
    numbers = {name: _number(name, parameters.get(name, "").strip()) for name in LABELS}
    texts = {"scope": parameters.get("scope") or "all", "contains": parameters.get("contains", "").strip()}
    query = UserFilter.of(texts | numbers)
    evidence, sort = parameters.get("evidence"), parameters.get("sort")
    if evidence in get_args(EvidenceFilter):
        query = replace(query, evidence=cast("EvidenceFilter", evidence))
    if sort in get_args(Sort):
        query = replace(query, sort=cast("Sort", sort))
    return replace(query, descending=parameters.get("order") != "up")


def suggestions(snapshot: Snapshot, text: str) -> list[str]:
    """Return ids that begin with a text, or else contain it, those with the highest scores first."""
    text = text.strip()
    if not text:
        return []
    rows = matching_rows(snapshot, UserFilter(SearchQuery(), contains=text))
    users = [score["user"] for score in snapshot.scores_at(rows[: 20 * MOST_SUGGESTIONS].tolist())]
    return sorted(users, key=lambda user: not user.startswith(text))[:MOST_SUGGESTIONS]


def _number(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise RangeError(f"{name} is {text[:40]!r}; expected a number.")
    return value


def _before(service: ServiceState, snapshot: Snapshot) -> Snapshot | None:
    """Return the snapshot before one; None if there is none."""
    try:
        return service.pair(None, snapshot.as_of)[0]
    except CloutError:
        return None


def _csv(request: Request, service: ServiceState, snapshot: Snapshot, query: UserFilter) -> Response:
    """Return the users that match as CSV, 10,000 at most."""
    before = _before(service, snapshot)
    scores = snapshot.scores_at(matching_rows(snapshot, query, before)[:MOST_IN_CSV].tolist())
    record_users(request.scope, [score["user"] for score in scores])
    moves = growth_of(scores, before, query.bounds.scope)
    rows = (
        [*(row[name] for name in CSV_COLUMNS), moves.get(row["user"], ""), row["as_of"], row["model_version"]]
        for row in cast("list[dict[str, Any]]", scores)
    )
    header = [*CSV_COLUMNS, "growth", "as_of", "model_version"]
    return csv_response(f"users-{to_iso_utc(snapshot.as_of)[:10]}.csv", header, rows)
