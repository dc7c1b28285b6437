"""Attacks: ways to get a higher score without a larger audience, as events to add; and what attackers know."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.credibility import HISTORY_DAYS
from features.aggregates.windows import DAY, LOOKBACK_DAYS, within
from features.catalogue.tenure import free_days
from features.events.encoding import before
from features.events.event_table import CREATIONS, ENGAGEMENTS

RECENT_DAYS, DORMANT_DAYS, OLD_DAYS = 28, 90, 180
TOP_QUANTILE = 0.99
MONTH, QUARTER, WEEK = 28, 90, 7
GROWN_SHARE = 2 / 3
FAKE = "attacker"
FOR_SALE = 10


@dataclass(frozen=True)
class AttackContext:
    """What attackers know about a community at an instant.

    Parameters
    ----------
    as_of : the instant; attacks happen just before it
    users : all ids of the last 365 days, without the attackers' own
    dormant : old users without an event of their own for 90 days
    active : users that acted in the last 28 days and are not absent
    established : the half of `active` whose first event is oldest
    top_pieces : (actor, object), what the top 1 % of users by engagers created in the last 28 days
    grown_days : for how long accounts are grown, from `grown_days`
    rng : draws times and victims

    """

    as_of: datetime
    users: np.ndarray
    dormant: np.ndarray
    active: np.ndarray
    established: np.ndarray
    top_pieces: pd.DataFrame
    grown_days: int
    rng: np.random.Generator

    def draw_times(self, days: float, count: int, users: int = 1) -> pd.DatetimeIndex:
        """Draw `count` instants of the last days for each of `users` users, sorted by time per user."""
        back = np.sort(self.rng.uniform(1.0, days * 86_400, (users, count)))[:, ::-1].ravel()
        return pd.DatetimeIndex(pd.Timestamp(self.as_of) - pd.to_timedelta(back, unit="s").round("us"))

    def draw_victims(self, count: int) -> np.ndarray:
        """Draw distinct users, all of them where fewer exist."""
        return self.rng.choice(self.users, min(count, len(self.users)), replace=False)


def describe_users(events: ir.Table, as_of: datetime) -> pd.DataFrame:
    """Describe all users that acted or were acted on in the 365 days before an instant.

    Returns
    -------
    by user, sorted: `age_days`, days since the first event of or about the user; `tenure_days` and `silent_days`, days
    since the user's own first and last event, 0 and infinite without one; and `engagers`, how many others engaged with
    the user in 365 days

    """
    past = before(events, as_of)
    acting, acted_on = (past.filter(past[role].notnull()).select("age", user=role) for role in ("actor", "target"))
    either = acting.union(acted_on)
    spans = either.group_by("user").agg(first=either.age.max(), last=either.age.min())
    engaging = past.filter(past.verb.isin(ENGAGEMENTS), within(past.age, LOOKBACK_DAYS), past.actor != past.target)
    tables = (
        spans.filter(within(spans.last, LOOKBACK_DAYS)),
        acting.group_by("user").agg(first_event=acting.age.max(), last_event=acting.age.min()),
        engaging.group_by(user="target").agg(engagers=engaging.actor.nunique()),
    )
    span, own, engagers = (table.to_pandas().set_index("user") for table in tables)
    users = span.join([own, engagers]).sort_index()
    return pd.DataFrame(
        {
            "age_days": users["first"] / DAY,
            "tenure_days": (users["first_event"] / DAY).fillna(0.0),
            "silent_days": (users["last_event"] / DAY).fillna(np.inf),
            "engagers": users["engagers"].fillna(0),
        }
    )


def grown_days(users: pd.DataFrame) -> int:
    """Return for how long accounts are grown: 90 days, at most two thirds of the history, as they come after its start.

    `users` are from `describe_users`.
    """
    return min(QUARTER, int(history_days(users) * GROWN_SHARE))


def history_days(users: pd.DataFrame) -> float:
    """Return how long the history is: the age of the oldest of the users from `describe_users`; 0 without any."""
    return float(users["age_days"].max()) if len(users) else 0.0


def _history_share(users: pd.DataFrame) -> float:
    """Return the history as a share of 360 days, one at most: features shorten periods of a young community by it."""
    return min(history_days(users) / HISTORY_DAYS, 1.0)


def old_days(users: pd.DataFrame) -> float:
    """Return from which age on users are old: 180 days, or half of a history shorter than 360.

    `users` are from `describe_users`.
    """
    return OLD_DAYS * _history_share(users)


def is_dormant(users: pd.DataFrame) -> pd.Series:
    """Return whether users are old and, as far as the history shows, without an event of their own for 90 days.

    `users` are from `describe_users`. In a history shorter than that nobody is.
    """
    observed = users[["silent_days", "age_days"]].min(axis=1)
    return (observed > DORMANT_DAYS) & (users["age_days"] > old_days(users))


def present_users(users: pd.DataFrame) -> pd.Index:
    """Return users who gain nothing by presence alone: they first acted before any attack begins and are not absent.

    `users` are from `describe_users`.
    """
    present: pd.Index = users.index[(users["tenure_days"] >= grown_days(users)) & ~is_absent(users)]
    return present


def is_absent(users: pd.DataFrame) -> pd.Series:
    """Return whether users have been silent for so long that an event of their own would raise their score.

    `users` are from `describe_users`.
    """
    return users["silent_days"] > free_days(history_days(users))


def is_active(users: pd.DataFrame) -> pd.Series:
    """Return whether users acted in the last 28 days and are not absent; `users` are from `describe_users`."""
    return (users["silent_days"] < RECENT_DAYS) & ~is_absent(users)


def make_attack_context(
    events: ir.Table, users: pd.DataFrame, as_of: datetime, attackers: Iterable[str], rng: np.random.Generator
) -> AttackContext:
    """Return what attackers know at an instant, given the users from `describe_users`.

    Attackers are excluded: they are not their own victims, not for sale, and do not answer as established users.
    """
    others = users.drop(index=pd.Index(list(attackers), dtype=object), errors="ignore")
    active = others[is_active(users)[others.index]]
    top = others[others["engagers"] >= others["engagers"].quantile(TOP_QUANTILE)]
    return AttackContext(
        as_of,
        users=_ids(others),
        dormant=_ids(others[is_dormant(users)[others.index]]),
        active=_ids(active),
        established=_ids(active[active["age_days"] >= active["age_days"].median()]),
        top_pieces=_recent_pieces(events, top.index, as_of),
        grown_days=grown_days(users),
        rng=rng,
    )


def _ids(users: pd.DataFrame) -> np.ndarray:
    return users.index.to_numpy(object)


def _recent_pieces(events: ir.Table, creators: pd.Index, as_of: datetime) -> pd.DataFrame:
    """Return (actor, object) of what these users created in the last 28 days."""
    recent = before(events, as_of, RECENT_DAYS)
    recent = recent.filter(recent.verb.isin(CREATIONS))
    pieces: pd.DataFrame = recent.select("actor", object=ibis.coalesce(recent.result, recent.object)).to_pandas()
    pieces = pieces[pieces["actor"].isin(creators)].dropna(subset="actor")
    return pieces.sort_values(["actor", "object"], ignore_index=True)


MakeEvents = Callable[[Sequence[str], np.ndarray, AttackContext], pd.DataFrame]


@dataclass(frozen=True)
class Attack:
    """One way to get a higher score.

    Parameters
    ----------
    name : as in reports
    description : what is done for one member, in words
    make_events : returns the events, given members that attack as a group, the accounts they recruit, and the context;
        works for any number of members and accounts
    limit : points that an ordinary member may gain by it in the median
    group : how many members attack as one group
    accounts : how many accounts a group recruits
    uses_dormant_accounts : whether recruited accounts are dormant ones of the community instead of new ones
    bot : whether a new account that does nothing else must also not end above the median active user

    """

    name: str
    description: str
    make_events: MakeEvents
    limit: float
    group: int = 1
    accounts: int = 0
    uses_dormant_accounts: bool = False
    bot: bool = False

    def available_accounts(self, context: AttackContext, count: int | None = None) -> int:
        """Return how many of `count` accounts (default: `accounts`) can be recruited."""
        count = self.accounts if count is None else count
        return min(count, -(-len(context.dormant) // FOR_SALE)) if self.uses_dormant_accounts else count

    def recruit(self, members: Sequence[str], context: AttackContext, count: int | None = None) -> np.ndarray:
        """Recruit `count` accounts for members (default: `accounts`); of dormant accounts, a tenth at most."""
        count = self.available_accounts(context, count)
        if self.uses_dormant_accounts:
            return context.rng.choice(context.dormant, count, replace=False)
        return np.array([f"{FAKE} {k} of {members[0]}" for k in range(count)], dtype=object)


def event_rows(times: pd.DatetimeIndex, **fields: object) -> pd.DataFrame:
    """Return events at these times; a field is one value for all or one per time; the target is null by default.

    `provoked` marks the events of other users that react to the attackers.
    """
    return pd.DataFrame({"time": times, "target": None, "provoked": False, **fields})


def _bought_followers(members: Sequence[str], recruited: np.ndarray, context: AttackContext) -> pd.DataFrame:
    return event_rows(context.draw_times(1, len(recruited)), actor=recruited, verb="follow", target=members[0])


def make_posts(
    members: Sequence[str] | np.ndarray, context: AttackContext, days: int, a_day: int = 1, every: int = 1
) -> pd.DataFrame:
    """Let each of the members post `a_day` times a day; only one post in `every` is returned."""
    count = days * a_day
    until = f"until {context.as_of:%Y-%m-%d}"
    pieces = [f"{FAKE} piece {k} of {member} {until}" for member in members for k in range(0, count, every)]
    selected = np.arange(count * len(members)) % count % every == 0
    actor = np.repeat(np.array(members, dtype=object), count)[selected]
    times = context.draw_times(days, count, len(members))[selected]
    return event_rows(times, actor=actor, verb="post", object=pieces)


def _squirrel_bot(members: Sequence[str], _: np.ndarray, context: AttackContext) -> pd.DataFrame:
    return make_posts(members, context, MONTH, 200)


def engage(posts: pd.DataFrame, engagers: np.ndarray, verb: str, context: AttackContext) -> pd.DataFrame:
    """Let each of the engagers engage with each post within an hour."""
    targets = posts.iloc[np.repeat(np.arange(len(posts)), len(engagers))]
    delay = pd.to_timedelta(context.rng.uniform(1.0, 3_600, len(targets)), unit="s").round("us")
    times = pd.DatetimeIndex(targets["time"]) + delay
    last = pd.Timestamp(context.as_of) - pd.Timedelta(microseconds=1)
    times = times.where(times < last, last)
    actor = np.tile(engagers, len(posts))
    pieces = targets["object"]
    result = [f"{FAKE} answer {k} to {piece}" if verb == "reply" else None for k, piece in enumerate(pieces)]
    return event_rows(times, actor=actor, verb=verb, target=targets["actor"].array, object=pieces.array, result=result)


def _pod(members: Sequence[str], _: np.ndarray, context: AttackContext) -> pd.DataFrame:
    parts = []
    for member in members:
        posts, others = make_posts([member], context, MONTH), np.array([other for other in members if other != member])
        parts += [posts, engage(posts, others, "like", context), engage(posts, others, "reply", context)]
    return pd.concat(parts, ignore_index=True)


def _liked(members: Sequence[str], recruited: np.ndarray, context: AttackContext) -> pd.DataFrame:
    """Let the recruited accounts like every daily post of the member."""
    posts = make_posts(members, context, MONTH)
    return pd.concat([posts, engage(posts, recruited, "like", context)], ignore_index=True)


def answered_questions(accounts: np.ndarray, answers: int, days: int, context: AttackContext) -> list[pd.DataFrame]:
    """Let each account ask a question in the week before the last `days`, answered by so many established users."""
    questions = make_posts(accounts, context, WEEK, every=WEEK)
    questions["time"] -= pd.Timedelta(days=days)
    responses = engage(questions, np.array([None] * answers), "reply", context)
    responses["actor"] = context.rng.choice(context.established, len(responses)) if len(context.established) else None
    return [questions, responses.assign(provoked=True)]


def _bridged_farm(members: Sequence[str], recruited: np.ndarray, context: AttackContext) -> pd.DataFrame:
    questions = answered_questions(recruited, 1, MONTH, context)
    return pd.concat([*questions, _liked(members, recruited, context)], ignore_index=True)


def _aged_farm(members: Sequence[str], recruited: np.ndarray, context: AttackContext) -> pd.DataFrame:
    """Let the accounts post every week, like each other twice a week and answer the member every week."""
    grown = context.grown_days
    posts = make_posts(recruited, context, grown, every=WEEK)
    likes = engage(posts, np.array([None, None]), "like", context)
    likes["actor"] = context.rng.choice(recruited, len(likes))
    bait = make_posts(members, context, grown, every=WEEK)[: grown // WEEK]
    return pd.concat([posts, likes, bait, engage(bait, recruited, "reply", context)], ignore_index=True)


def _mention_spam(members: Sequence[str], _: np.ndarray, context: AttackContext) -> pd.DataFrame:
    victims = np.concatenate([context.draw_victims(1_000) for _ in range(WEEK)])
    return event_rows(context.draw_times(WEEK, len(victims)), actor=members[0], verb="mention", target=victims)


def _follow_back(members: Sequence[str], _: np.ndarray, context: AttackContext) -> pd.DataFrame:
    member, victims = members[0], context.draw_victims(5_000)
    returning = victims[pd.Index(victims).isin(context.active)][: int(0.4 * len(victims))]
    follows = event_rows(context.draw_times(WEEK, len(victims)), actor=member, verb="follow", target=victims)
    times = context.draw_times(1, len(returning))
    return pd.concat([follows, event_rows(times, actor=returning, verb="follow", target=member, provoked=True)])


def _reply_to_stars(members: Sequence[str], _: np.ndarray, context: AttackContext) -> pd.DataFrame:
    (member,), pieces = members, context.top_pieces
    replies = [f"{FAKE} answer {k} of {member} until {context.as_of:%Y-%m-%d}" for k in range(len(pieces))]
    to = {"target": pieces["actor"].array, "object": pieces["object"].array}
    return event_rows(context.draw_times(MONTH, len(pieces)), actor=member, verb="reply", result=replies, **to)


def _repost(members: Sequence[str], _: np.ndarray, context: AttackContext) -> pd.DataFrame:
    posts = make_posts(members, context, MONTH, 10)
    return posts.assign(content_hash=[f"{FAKE} text {k % 10}" for k in range(len(posts))])


AGED_FARM = "200 accounts, active for 90 days, at most two thirds of the history, answer every week"
OLD_ACCOUNTS = "50 bought dormant accounts, at most a tenth of all, like every daily post for 28 days"
BRIDGED_FARM = "50 fresh accounts, each answered once by an established user, like every daily post"
ATTACKS = (
    Attack("bought_followers", "10,000 bought accounts follow in one day", _bought_followers, 1, accounts=10_000),
    Attack("squirrel_bot", "200 posts a day for 28 days, engaging with nobody", _squirrel_bot, 1, bot=True),
    Attack("pod", "20 members like and answer each other's every daily post for 28 days", _pod, 4, group=20),
    Attack("fresh_accounts", "200 fresh accounts like every daily post for 28 days", _liked, 3, accounts=200),
    Attack("aged_farm", AGED_FARM, _aged_farm, 6, accounts=200),
    Attack("mention_spam", "1,000 users mentioned a day for 7 days", _mention_spam, 2),
    Attack("follow_back", "5,000 users followed in 7 days; 40 % at most, all active, follow back", _follow_back, 2),
    Attack("reply_to_stars", "a reply to every piece of the top 1 % for 28 days", _reply_to_stars, 2),
    Attack("repost", "the same ten posts published every day for 28 days", _repost, 2),
    Attack("old_accounts", OLD_ACCOUNTS, _liked, 10, accounts=50, uses_dormant_accounts=True),
    Attack("bridged_farm", BRIDGED_FARM, _bridged_farm, 6, accounts=50),
)
