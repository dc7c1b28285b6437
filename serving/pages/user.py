"""The page of a user: what the score is, how sure it is, what made it, what it was, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from features.engagement_report import EngagementReport, engagement_report
from features.errors import CloutError
from serving.api.dependencies import READ, EndQuery, ScopeQuery, ServiceDependency, SnapshotDependency, StartQuery
from serving.api.dependencies import read_instant as parse_instant
from serving.api.routes.cases import CallerName, CasesDependency
from serving.api.routes.users import User
from serving.middleware.request_context import path_prefix, record_users
from serving.pages.formats import DOT_IDS, user_path
from serving.pages.forms import FormFields
from serving.pages.rendering import PageRoute, Reader, page
from serving.pages.user_history import HistoryView, history_view
from serving.pages.user_what_if import WhatIfView, what_if_view
from serving.pages.waterfall import Waterfall, waterfall
from serving.privacy.audit_check_and_reads import Reads, reads_about
from serving.privacy.cases import Case, Cases
from serving.review.score_change import ScoreChange
from serving.review.score_change import change as score_change
from serving.runtime.state import ServiceState
from serving.snapshots.explanation import Explanation, ScoreRow, expectation, spread
from serving.snapshots.facts import Fact
from serving.snapshots.snapshot import Snapshot
from serving.snapshots.story import Topic
from training.model.scale import MEDIAN_POINTS, Scale
from training.records.opt_outs import load_opted_out_users

T = TypeVar("T")
router = APIRouter(route_class=PageRoute, include_in_schema=False)
PartQuery = Annotated[
    list[str] | None,
    Query(alias="part", description="Parts that take longer: change, what-if, posts, reads; outcome: sliders alone"),
]
CaseQuery = Annotated[str | None, Query(description="Id of a case of the user to show")]
MOST_POSTS, MOST_READS = 8, 50


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
    high_end: float
    median: float = MEDIAN_POINTS


@dataclass(frozen=True)
class UserView:
    """What the page of a user always shows.

    Parameters
    ----------
    score : as the API gives it
    scores : those of all scopes
    users : how many the snapshot has
    ranked_among : of whom the rank is: active or all users
    is_newest : whether it is the newest snapshot
    scale : the chart of the score
    expectation : what the score means, in people
    explanation, waterfall : of the score; None for readers whose key has no scope for explanations
    history : the scores of all snapshots

    """

    score: ScoreRow
    scores: tuple[ScoreRow, ...]
    users: int
    ranked_among: str
    is_newest: bool
    scale: ScaleChart
    expectation: str
    explanation: Explanation | None
    waterfall: Waterfall | None
    history: HistoryView

    @property
    def is_scored(self) -> bool:
        """Whether there is enough evidence for a score."""
        return self.score["status"] == "scored"

    @property
    def main_facts(self) -> tuple[Fact, ...]:
        """The facts that are reasons, with points as in the waterfall."""
        return self.explanation.main_facts if self.explanation else ()

    def sentences(self, topic: Topic) -> tuple[str, ...]:
        """Return the sentences of a section of the score's story; empty without an explanation."""
        sections = self.explanation.story if self.explanation else ()
        return next((section.sentences for section in sections if section.topic == topic), ())


@dataclass
class UserParts:
    """The parts of the page that are shown on demand, since they take longer or are for some readers; None if absent.

    Parameters
    ----------
    change : from one snapshot to a later one, or why it cannot be explained
    what_if : what would change the score
    posts : the posts behind it, or why they cannot be shown
    reads : who read about the user
    cases : the user's, or the one that the address names

    """

    change: ScoreChange | str | None = None
    what_if: WhatIfView | None = None
    posts: EngagementReport | str | None = None
    reads: Reads | None = None
    cases: tuple[Case, ...] = ()


def user_view(service: ServiceState, snapshot: Snapshot, user: str, scope: str, reader: Reader) -> UserView:
    """Collect what the page of a user shows to a reader; errors as in `Snapshot.explain`."""
    score, bundle = snapshot.score(user, scope), snapshot.bundle
    explanation = snapshot.explain(user, scope) if reader.may("review") else None
    return UserView(
        score=score,
        scores=tuple(snapshot.scores_by_scope(user).values()),
        users=snapshot.users,
        ranked_among="active" if explanation and snapshot.ranks_among_active(scope) else "all",
        is_newest=snapshot.as_of == service.snapshot().as_of,
        scale=scale_chart(bundle.scale, score),
        expectation=expectation(score, bundle) if explanation else f"{expectation(score, bundle)} {spread(score)}",
        explanation=explanation,
        waterfall=waterfall(explanation) if explanation else None,
        history=history_view(service.home, user, scope, snapshot.horizon_days, service.champion_version),
    )


def scale_chart(scale: Scale, score: ScoreRow) -> ScaleChart:
    """Place a score and its interval on the scale."""
    marks = tuple((mark, scale.people(mark)) for mark in range(0, 101, 20))
    ends = scale.points_of_people(score["low"]), scale.points_of_people(score["high"])
    return ScaleChart(score["score"], *ends, marks, scale.factor_per_10_points, scale.p95_points)


@router.get("/u", dependencies=[READ])
def find_user(
    request: Request,
    service: ServiceDependency,
    snapshot: SnapshotDependency,
    cases: CasesDependency,
    start: StartQuery,
    end: EndQuery,
    user: str = "",
    scope: ScopeQuery = "all",
    part: PartQuery = None,
    case: CaseQuery = None,
) -> Response:
    """Lead from the find box to a user's page; show it here for the ids that browsers remove from paths."""
    name = user if snapshot.scores_by_scope(user) else user.strip() or user
    if name not in DOT_IDS:
        record_users(request.scope, [name])
        return RedirectResponse(path_prefix(request.scope) + user_path(name), 303)
    return user_page(request, name, service, snapshot, cases, start, end, scope, part, case)


@router.get("/u/{user:id}", dependencies=[READ])
def user_page(
    request: Request,
    user: User,
    service: ServiceDependency,
    snapshot: SnapshotDependency,
    cases: CasesDependency,
    start: StartQuery,
    end: EndQuery,
    scope: ScopeQuery = "all",
    part: PartQuery = None,
    case: CaseQuery = None,
) -> Response:
    """Return the page of a user, with the parts that were asked for."""
    record_users(request.scope, [user])
    reader, names = Reader(request), part or []
    may_review = reader.may("review")
    if "outcome" in names and may_review:
        outcome = what_if_view(snapshot, user, scope, request.query_params, with_suggestions=False)
        return page(request, "user_outcome", what_if=outcome, score=snapshot.score(user, scope))
    view = user_view(service, snapshot, user, scope, reader)  # first: there are no parts of a page without a user
    parts = UserParts(cases=_cases(cases, user, case, may_review))
    if "change" in names and may_review:
        before, after = service.pair(start, end)
        parts.change = _or_why(lambda: score_change(before, after, user, scope))
    if "what-if" in names and may_review:
        parts.what_if = what_if_view(snapshot, user, scope, request.query_params)
    events: Path | None = request.app.state.events
    if "posts" in names and may_review and events is not None:
        excluded = load_opted_out_users(service.home)
        parts.posts = _or_why(
            lambda: engagement_report(events, user, snapshot.as_of, scope, top=MOST_POSTS, excluded=excluded)
        )
    if "reads" in names and reader.may("admin"):
        parts.reads = reads_about(service.home, user, limit=MOST_READS)
    return page(request, "user", view=view, parts=parts, has_events=events is not None)


@router.post("/u", dependencies=[READ])
def contest(
    request: Request, fields: FormFields, service: ServiceDependency, cases: CasesDependency, by: CallerName
) -> Response:
    """Open a case about a user's score, and show it on the user's page."""
    user, scope = fields.get("user", ""), fields.get("scope", "all")
    record_users(request.scope, [user])
    explanation = service.snapshot(parse_instant(fields.get("as_of") or None)).explain(user, scope)
    case = cases.open(explanation, fields.get("message", ""), by)
    path = user_path(user, scope=None if scope == "all" else scope, case=case.case)
    return RedirectResponse(f"{path_prefix(request.scope)}{path}#contest", 303)


def _cases(cases: Cases, user: str, case: str | None, may_review: bool) -> tuple[Case, ...]:
    """Return all cases of a user for reviewers, newest first; for others the one that they can name."""
    if may_review:
        return tuple(reversed(cases.page(None, user)))
    if case is None:
        return ()
    named = cases.find(case)
    return (named,) if named.user == user else ()


def _or_why(compute: Callable[[], T]) -> T | str:
    """Return a result, or the message of the error: one part that fails leaves the rest of the page."""
    try:
        return compute()
    except CloutError as error:
        return str(error)
