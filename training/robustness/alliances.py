"""Alliances: established users who respond to a member on demand, and members who answer each other.

They are not fake accounts, and so they count: the limits are in people. A user who brings `k` people to respond has an
audience of `k`, and the expected audience may rise by 1.25 of them each; people who answer each other may raise it by
half of one each, however long they do. New accounts that established users answered are limited in points too. A new
account with established responders is compared with one that posts the same and that nobody answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.credibility import HISTORY_DAYS
from features.events.encoding import EncodedEvents, cached, cached_with, encode_events
from features.events.event_table import open_events
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.model.bundle import Bundle
from training.robustness.attack_report import AllianceResult, AttackReport, Omission, low_median
from training.robustness.attacks import (
    FAKE,
    OLD_DAYS,
    TOP_QUANTILE,
    WEEK,
    AttackContext,
    answered_questions,
    describe_users,
    engage,
    history_days,
    is_active,
    is_dormant,
    make_attack_context,
    make_posts,
    old_days,
)

ONE_WAY, EXCHANGED = 1.25, 0.5
KNOWN_QUANTILE = 0.75
MIN_ENGAGERS = 3
RING_WEEKS, RING_MEETINGS = 4, 3
MEMBERS, MEMBERS_OF_ONE, FEWEST_MEMBERS = 20, 60, 5
UNANSWERED = ", unanswered"


@dataclass(frozen=True)
class Helpers:
    """Whom attackers can win over.

    Parameters
    ----------
    known : active old users in the top quarter by engagers
    stars : those in the top hundredth
    dormant : dormant old users with whom three people or more engaged within the year

    """

    known: np.ndarray
    stars: np.ndarray
    dormant: np.ndarray


@dataclass(frozen=True)
class Alliance:
    """One way in which established people raise a member's score.

    Parameters
    ----------
    name, title : as in reports, and in words
    description : what is done for one member, in words
    people : how many people respond to the member
    days : for how long
    helpers : chooses who responds, from the Helpers; None for members who answer each other
    ring_days : for how many days the helpers, who are new accounts, answered each other before, fewer in a history
        shorter than 360 days; 0 for other helpers
    answers : how many established users answered a question of each helper, who are new accounts; 0 for others
    points : by how many points the median member may rise; None for people who were there before, limited in people
    new_member : whether the member is an account that begins with its first post, instead of an ordinary member

    """

    name: str
    title: str
    description: str
    people: int
    days: int
    helpers: Callable[[Helpers], np.ndarray] | None = None
    ring_days: int = 0
    answers: int = 0
    points: float | None = None
    new_member: bool = False

    @property
    def exchanged(self) -> bool:
        """Whether the people answer each other."""
        return self.helpers is None and not self.ring_days and not self.answers

    @property
    def group(self) -> int:
        """How many members ally."""
        return self.people + 1 if self.exchanged else 1

    @property
    def limit(self) -> float:
        """By how many people the expected audience of the median member may rise."""
        return self.people * (EXCHANGED if self.exchanged else ONE_WAY)


def _helped(people: int, days: int) -> Alliance:
    who = "an established user answers" if people == 1 else f"{people} established users answer"
    name, title = f"friends_{people}_for_{days}d", f"{_friends(people)} for {days} days"
    return Alliance(name, title, f"{who} every daily post for {days} days", people, days, lambda helpers: helpers.known)


def _started(people: int, days: int) -> Alliance:
    who = "an established user answers" if people == 1 else f"{people} established users answer"
    name, title = f"new_with_{people}_for_{days}d", f"a new account with {_friends(people)} for {days} days"
    description = f"{who} every daily post of a new account for {days} days"
    return Alliance(name, title, description, people, days, lambda h: h.known, new_member=True)


def _friends(people: int) -> str:
    return "one friend" if people == 1 else f"{people} friends"


def _pod(size: int, days: int) -> Alliance:
    description = f"{size} members answer each other's every daily post for {days} days"
    return Alliance(f"pod_{size}_for_{days}d", f"a pod of {size} for {days} days", description, size - 1, days)


STAR = "the community's star answers every daily post for 28 days"
DORMANT = "5 dormant accounts that were known answer for 28 days"
RING = "8 accounts answer each other for 300 days, then the member for 28"
ANSWERED = "12 new accounts, each answered by 3 established users before, answer every daily post for 28 days"
ALLIANCES = (
    *(_helped(people, days) for people in (1, 2, 3, 5) for days in (7, 28, 120)),
    *(_started(people, days) for people in (1, 2, 3, 5) for days in (7, 28)),
    *(_pod(size, days) for size in (5, 12, 20) for days in (28, 120)),
    Alliance("star_28d", "the star for 28 days", STAR, 1, 28, lambda helpers: helpers.stars),
    Alliance("dormant_5_28d", "5 dormant accounts for 28 days", DORMANT, 5, 28, lambda helpers: helpers.dormant),
    Alliance("slow_ring", "a slow ring", RING, 8, 28, ring_days=300),
    Alliance("answered_12_28d", "12 answered accounts for 28 days", ANSWERED, 12, 28, answers=3, points=35.0),
)


@dataclass(frozen=True)
class AllianceReport:
    """What the alliances gain that were tried, which ones were not and why, and how long the history is, in days."""

    results: tuple[AllianceResult, ...]
    omissions: tuple[Omission, ...]
    history_days: float


def alliance_suite(events: ir.Table, bundle: Bundle, as_of: datetime | None = None, seed: int = 0) -> AllianceReport:
    """Try every alliance in a community just before an instant, all at once with different members, and score them.

    Members are ordinary: they acted in the last 28 days and are not absent, are in the middle half of those by score,
    and were first seen more than 180 days ago, or half of a history shorter than 360 days. So their own posts alone add
    nothing. Up to 60 members try each alliance with a single helper, up to 20 each other one, or one group.
    An alliance is left out if it takes longer than members are there, or if there are too few people: their median
    would say little. As many new accounts try those of new accounts; what they gain is beyond an account that posts the
    same at the same times and that nobody answers.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    seed : of the choice of people and of times

    Raises
    ------
    AsOfError : the instant lies in the future

    """
    at, rng = resolve_as_of(events, as_of), np.random.default_rng(seed)
    with cached(encode_events(events, (ALL,)).with_seeds(bundle.seeds)) as encoded:
        before = _predict(encoded, bundle, at)
        users = describe_users(events, at)
        members = _ordinary_members(before["score"], users, rng)
        context = make_attack_context(events, users, at, members, rng)
        helpers = _helpers(users, members)
        possible, omissions = _divide(ALLIANCES, users, helpers)
        groups, without_members = _assign(members, possible)
        parts = [
            _alliance_events(alliance, group, k, helpers, context)
            for alliance, several in groups
            for k, group in enumerate(several)
        ]
        omissions += without_members
        if not parts:
            return AllianceReport((), tuple(omissions), history_days(users))
        new = [member for alliance, several in groups if alliance.new_member for group in several for member in group]
        added_rows = pd.concat([*parts, *(_unanswered(part, new) for part in parts)], ignore_index=True)
        added = open_events(added_rows, events.get_backend())
        with cached_with(encoded, encode_events(added, (ALL,))) as attacked:
            after = _predict(attacked, bundle, at)
    before = pd.concat([before, after.loc[[member + UNANSWERED for member in new]].set_axis(new)])
    results, start = [], 0
    for alliance, several in groups:
        own = sum(int((~part["provoked"]).sum()) for part in parts[start : start + len(several)])
        start += len(several)
        results.append(_result(alliance, np.concatenate(several), before, after, own))
    return AllianceReport(tuple(results), tuple(omissions), history_days(users))


def with_alliances(report: AttackReport, events: ir.Table, bundle: Bundle, seed: int = 0) -> AttackReport:
    """Return a report of attacks with the alliances at the same instant, and what anybody can add by construction."""
    allied = alliance_suite(events, bundle, report.as_of, seed)
    most = bundle.most_from_anybody
    omissions = (*report.omissions, *allied.omissions)
    young = allied.history_days if allied.results and allied.history_days < HISTORY_DAYS else None
    return replace(
        report, alliances=allied.results, omissions=omissions, most_from_anybody=most, young_history_days=young
    )


def _predict(encoded: EncodedEvents, bundle: Bundle, at: datetime) -> pd.DataFrame:
    rows = feature_rows(encoded, at, features=list(bundle.features))
    return bundle.predict(rows).set_axis(rows["user"])


def _ordinary_members(score: pd.Series, users: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return old users in the middle half of active ones by score, in random order."""
    active = score[score.index.isin(users.index[is_active(users)])]
    low, high = active.quantile([0.25, 0.75]) if len(active) else (0.0, 0.0)
    middle = active[active.between(low, high)].index
    old = users.loc[middle, "age_days"] > old_days(users)
    return rng.permutation(middle[old].to_numpy(object))


def _helpers(users: pd.DataFrame, members: np.ndarray) -> Helpers:
    others = users.drop(index=pd.Index(members))
    active = others[is_active(users)[others.index] & (others["age_days"] > old_days(users))]
    silent = others[is_dormant(users)[others.index]]
    prominent, stars = (
        active[active["engagers"] >= active["engagers"].quantile(share)] for share in (KNOWN_QUANTILE, TOP_QUANTILE)
    )
    dormant = silent[silent["engagers"] >= MIN_ENGAGERS]
    return Helpers(*(chosen.index.to_numpy(object) for chosen in (prominent, stars, dormant)))


def _divide(
    alliances: Sequence[Alliance], users: pd.DataFrame, helpers: Helpers
) -> tuple[list[Alliance], list[Omission]]:
    """Divide alliances into those that a community has enough history and helpers for, and the others."""
    possible, omissions = [], []
    age, history = old_days(users), history_days(users)
    for alliance in alliances:
        shorter = replace(alliance, ring_days=_ring_days(alliance, age))
        reason = _too_long(shorter, age, history) or _too_few(shorter, helpers)
        if reason is None:
            possible.append(shorter)
        else:
            omissions.append(_omission(alliance, reason))
    return possible, omissions


def _omission(alliance: Alliance, reason: str) -> Omission:
    return Omission(alliance.name, alliance.title, "alliance", reason)


def _ring_days(alliance: Alliance, age: float) -> int:
    """Shorten the days of a ring so that it is as old, compared with old users, as in a long history."""
    if not alliance.ring_days:
        return 0
    return max(int((alliance.ring_days + alliance.days) * age / OLD_DAYS) - alliance.days, 1)


def _too_long(alliance: Alliance, age: float, history: float) -> str | None:
    """Return why an alliance lasts too long for a community in which members are so old at least, in days."""
    if alliance.days > age:
        needed = HISTORY_DAYS * alliance.days // OLD_DAYS
        takes = f"an alliance of {alliance.days} days takes {needed:g} days of history or more"
        return f"{takes}, so that its members were there before it begins (this history has {int(history)})"
    if 0 < alliance.ring_days < RING_WEEKS * WEEK:
        return (
            f"in {int(history)} days of history its accounts could answer each other for {alliance.ring_days} days "
            f"only, and {RING_WEEKS * WEEK} are needed"
        )
    return None


def _too_few(alliance: Alliance, helpers: Helpers) -> str | None:
    """Return why an alliance lacks helpers; None where there are enough."""
    if alliance.helpers is None or (count := len(alliance.helpers(helpers))) >= alliance.people:
        return None
    return f"the community has {count} users who could help in this way, and {alliance.people} are needed"


def _assign(
    members: np.ndarray, alliances: Sequence[Alliance] = ALLIANCES
) -> tuple[list[tuple[Alliance, list[np.ndarray]]], list[Omission]]:
    """Give each alliance groups of its own: one where members answer each other, 5 to 20 of one member elsewhere.

    Those of a single helper, who are nearest to their limit, get up to 60 where so many members remain. An alliance is
    left out where too few do. Alliances of new accounts get as many accounts as others get members.
    """
    ordinary = [alliance for alliance in alliances if not alliance.new_member]
    single = sum(alliance.group == 1 for alliance in ordinary)
    of_one = sum(alliance.people == 1 for alliance in ordinary)
    free = len(members) - sum(alliance.group for alliance in ordinary if alliance.group > 1)
    most = min(max(free // max(single, 1), 1), MEMBERS)
    most_of_one = min(most + max(free - most * single, 0) // max(of_one, 1), MEMBERS_OF_ONE)
    groups, omissions, start = [], [], 0
    for alliance in sorted(alliances, key=lambda alliance: alliance.group):
        count = (most_of_one if alliance.people == 1 else most) if alliance.group == 1 else 1
        if alliance.new_member:
            several = [np.array([f"{FAKE} {alliance.name} {k}"], dtype=object) for k in range(count)]
        else:
            several = [members[start + k * alliance.group : start + (k + 1) * alliance.group] for k in range(count)]
            several = [group for group in several if len(group) == alliance.group]
            start += len(several) * alliance.group
        if len(several) * alliance.group >= FEWEST_MEMBERS:
            groups.append((alliance, several))
        else:
            reason = f"{len(members)} ordinary members are too few for all alliances"
            omissions.append(_omission(alliance, reason))
    return groups, omissions


def _unanswered(events: pd.DataFrame, accounts: Sequence[str]) -> pd.DataFrame:
    """Return the posts of accounts among some events as those of others, whom nobody answers."""
    posts = events[events["actor"].isin(accounts) & (events["verb"] == "post")]
    return posts.assign(actor=posts["actor"] + UNANSWERED, object=posts["object"] + UNANSWERED)


def _alliance_events(
    alliance: Alliance, group: np.ndarray, number: int, helpers: Helpers, context: AttackContext
) -> pd.DataFrame:
    posts = [make_posts([member], context, alliance.days) for member in group]
    if alliance.exchanged:
        who = [group[group != member] for member in group]
        earlier = []
    elif alliance.helpers is None:
        kind = "of a ring" if alliance.ring_days else "who was answered"
        who = [np.array([f"{FAKE} {number} {kind}, {k}" for k in range(alliance.people)], dtype=object)]
        earlier = _earlier_events(alliance, who[0], context)
    else:
        among = alliance.helpers(helpers)
        who = [context.rng.choice(among, min(alliance.people, len(among)), replace=False)]
        earlier = []
    answers = [engage(own, others, "reply", context) for own, others in zip(posts, who, strict=True)]
    return pd.concat([*earlier, *posts, *answers], ignore_index=True)


def _earlier_events(alliance: Alliance, accounts: np.ndarray, context: AttackContext) -> list[pd.DataFrame]:
    """Return how new accounts become established: by each other, or by the answers of established users."""
    if alliance.ring_days:
        return _ring_events(alliance, accounts, context)
    return answered_questions(accounts, alliance.answers, alliance.days, context)


def _ring_events(alliance: Alliance, ring: np.ndarray, context: AttackContext) -> list[pd.DataFrame]:
    """Let the accounts post every week until the last days, each post answered by three of them."""
    posts = make_posts(list(ring), context, alliance.ring_days, every=WEEK)
    answers = engage(posts, np.array([None] * RING_MEETINGS), "reply", context)
    answers["actor"] = context.rng.choice(ring, len(answers))
    for rows in (posts, answers):
        rows["time"] -= pd.Timedelta(days=alliance.days)
    return [posts, answers]


def _result(
    alliance: Alliance, members: np.ndarray, before: pd.DataFrame, after: pd.DataFrame, acts: int
) -> AllianceResult:
    gains = after.reindex(members) - before.reindex(members)
    people = gains["expected_audience"].to_numpy(float)
    points, median = gains["score"].to_numpy(float), float(np.median(people))
    few_points = alliance.points is None or bool(np.median(points) <= alliance.points)
    return AllianceResult(
        alliance=alliance.name,
        description=alliance.description,
        members=len(members),
        people=alliance.people,
        exchanged=alliance.exchanged,
        gain_median=float(np.median(points)),
        people_gain_median=median,
        people_gain_low=low_median(people),
        people_limit=alliance.limit,
        within_limit=median <= alliance.limit and few_points,
        answers=alliance.answers,
        gain_low=low_median(points),
        points_limit=alliance.points,
        acts=round(acts / len(members)),
        new_member=alliance.new_member,
    )
