"""The relations that features are computed over: one pass over the events each.

Long windows read few columns; detailed counts read the last 90 days only. Users, others, pieces and contents are keys
here; a verb is its index in VERBS.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from features.aggregates.windows import (
    BILLION,
    DAY,
    LOOKBACK_DAYS,
    RECENT_DAYS,
    RETURN_DAYS,
    WEEK,
    WEEKS,
    bit_is_set,
    count,
    to_fixed_point,
    week_bitmap,
    where,
    within,
)
from features.events.encoding import CODES
from features.events.event_table import CREATIONS, ENGAGEMENTS, RESPONSES

RESPONSE_COLUMNS = ("responded_age", "earlier_responded_age", "first_responded_age", "responded_weeks")
PAIR_COLUMNS = ("last_age", "first_age", "acts", "weeks", *RESPONSE_COLUMNS)
DATED_COLUMNS = frozenset(
    {"created_age", "after_a_day", "after_a_week", "passed_on_late", "day_credit", "late_credit"}
)  # of pieces: those that depend on when a piece was created
PIECE_COLUMNS = ("last_age", "reactions", "unknown", "credit", "credible_age", *sorted(DATED_COLUMNS))
PERSONAL = ("follow", "unfollow", "block", "mention")


def is_any(verb: ir.IntegerValue, *verbs: str) -> ir.BooleanValue:
    """Return whether a verb is one of the named verbs."""
    codes = sorted(CODES[name] for name in verbs)
    if len(codes) > 1 and codes == list(range(codes[0], codes[-1] + 1)):
        return verb.between(codes[0], codes[-1])
    return verb.isin(codes) if len(codes) > 1 else verb == codes[0]


def engagements(events: ir.Table) -> ir.Table:
    """Select events of others towards a user: (user, other, verb, ..., age); an unknown `other` is null."""
    directed = events.filter(is_any(events.verb, *ENGAGEMENTS), events.target.notnull())
    by_others = directed.filter(directed.actor.isnull() | (directed.actor != directed.target))
    return by_others.rename(user="target", other="actor")


def pairs(engagements: ir.Table, columns: Sequence[str] = PAIR_COLUMNS) -> ir.Table:
    """Aggregate engagements by (user, other): the one expensive pass.

    A window's distinct engagers are the pairs whose last engagement falls in it, so all nested windows come from here.
    `weeks` is a bitmap of the weeks back from `as_of` in which the other engaged. `responded_age` (the last),
    `earlier_responded_age` (the last one before the newest 28 days), `first_responded_age` and `responded_weeks` count
    RESPONSES only. Without any of the other `columns` there are rows only for those who responded.
    """
    if {*columns} <= {*RESPONSE_COLUMNS}:
        e = engagements.filter(is_any(engagements.verb, *RESPONSES))
        responded = e.age
    else:
        e = engagements
        responded = where(is_any(e.verb, *RESPONSES), e.age)
    values: dict[str, ir.Value] = {
        "last_age": e.age.min(),
        "first_age": e.age.max(),
        "acts": count(within(e.age, LOOKBACK_DAYS)),
        "weeks": week_bitmap(e.age, WEEK, WEEKS),
        "responded_age": responded.min(),
        "earlier_responded_age": where(~within(responded, RETURN_DAYS), responded).min(),
        "first_responded_age": responded.max(),
        "responded_weeks": week_bitmap(responded, WEEK, WEEKS),
    }
    return e.group_by("user", "other").agg(**{name: values[name] for name in columns})


def follows(engagements: ir.Table) -> ir.Table:
    """Aggregate follows and unfollows by (user, other)."""
    e = engagements.filter(is_any(engagements.verb, "follow", "unfollow"), engagements.other.notnull())
    followed = where(is_any(e.verb, "follow"), e.age)
    ages = e.group_by("user", "other").agg(
        first_age=followed.max(),
        followed_age=followed.min(),
        unfollowed_age=where(is_any(e.verb, "unfollow"), e.age).min(),
    )
    still = ages.unfollowed_age.isnull() | (ages.followed_age < ages.unfollowed_age)
    return ages.mutate(current=ages.followed_age.notnull() & still)


def reversed_pairs(pairs: ir.Table) -> ir.Table:
    """Swap user and other: what a user did to others instead of others to the user."""
    return pairs.rename(user="other", other="user")


def engagers(pairs: ir.Table) -> ir.Table:
    """Describe the known users who engaged within 365 days.

    Returns
    -------
    (user, other, last_age, acts) and: `prominence`, `ln(1 + engagers)` of the other, in billionths; `share`, the part
    of the other's engagement that went to the user, in billionths; `breadth`, `ln(users engaged with)` of the other,
    in billionths; `favourite`, whether the other engages with nobody more often; `mutual`, whether the user engaged
    with the other as well

    """
    year = pairs.filter(pairs.other.notnull(), within(pairs.last_age, LOOKBACK_DAYS))
    year = year.select("user", "other", "last_age", "acts")
    prominence = year.group_by(other=year.user).agg(prominence=to_fixed_point((year.count() + 1).ln()))
    totals = year.group_by("other").agg(
        total=year.acts.sum().cast("int64"), most=year.acts.max(), breadth=to_fixed_point(year.count().ln())
    )
    others = totals.left_join(prominence, "other").drop("other_right")
    back = year.select(user=year.other, other=year.user, mutual=ibis.literal(True))
    joined = year.left_join(back, ["user", "other"]).drop("user_right", "other_right").join(others, "other")
    return joined.select(
        "user",
        "other",
        "last_age",
        "acts",
        "breadth",
        prominence=joined.prominence.fill_null(0),
        share=to_fixed_point(joined.acts / joined.total),
        favourite=joined.acts == joined.most,
        mutual=joined.mutual.notnull(),
    )


def own_events(events: ir.Table) -> ir.Table:
    """Select the events of known users by actor: (user, verb, ..., age, creation)."""
    with_actor = events.filter(events.actor.notnull())
    return with_actor.mutate(creation=is_any(with_actor.verb, *CREATIONS)).rename(user="actor")


def activity(own: ir.Table) -> dict[str, ir.IntegerScalar]:
    """Return aggregates of a user's own events, in microseconds.

    `first_act_age` is the age of the first one; `gap_before_return` how long the user had not acted before their first
    event of the last 28 days, null without an event in these days or before them.
    """
    recent = within(own.age, RETURN_DAYS)
    gap = where(~recent, own.age).min() - where(recent, own.age).max()
    return {"first_act_age": own.age.max(), "gap_before_return": gap}


def spans(user_bitmaps: ir.Table, count: int) -> ir.Table:
    """Unnest (user, bitmap) into rows (user, span), one for each bit that is set."""
    rows = user_bitmaps.mutate(span=ibis.range(count)).unnest("span")
    return rows.filter(bit_is_set(rows.bitmap, rows.span)).select("user", "span")


def created(own: ir.Table) -> ir.Table:
    """Aggregate own events by (user, piece): each created piece with its age."""
    new = own.filter(own.creation, own.made.notnull())
    return new.group_by("user", piece=new.made).agg(created_age=new.age.max())


def pieces(
    engagements: ir.Table, created: ir.Table | None, responders: ir.Table, columns: Sequence[str] = PIECE_COLUMNS
) -> ir.Table:
    """Aggregate engagements by (user, piece).

    `credit` is the sum of the engagers' weights in billionths, `day_credit` and `late_credit` the same for engagements
    after a day and after a week, `credible_age` the age of the last engagement with a weight above 0, and `unknown` the
    number of engagements by unknown users. The weights come from `responders`; an unknown user has weight 1.

    An engagement also counts as late if its piece is not in `created`: the piece is older, or its creation is unknown.
    So `created` has to look back a week further than the engagements. `created_age` is null for pieces created more
    than 90 days ago. `created` may be None for `columns` that are not among DATED_COLUMNS.
    """
    on_pieces = engagements.filter(engagements.object.notnull(), ~is_any(engagements.verb, *PERSONAL))
    r = on_pieces.select("user", "other", "verb", "age", piece=on_pieces.object)
    if not DATED_COLUMNS.isdisjoint(columns):
        r = r.left_join(created, ["user", "piece"]).drop("user_right", "piece_right")
    weights = responders.select("user", "other", "weight")
    r = r.left_join(weights, ["user", "other"]).drop("user_right", "other_right")
    r = r.mutate(weight=r.other.isnull().ifelse(BILLION, r.weight.fill_null(0)))
    values: dict[str, ir.Value] = {
        "last_age": r.age.min(),
        "reactions": r.count(),
        "unknown": count(r.other.isnull()),
        "credit": r.weight.sum().cast("int64"),
        "credible_age": where(r.weight > 0, r.age).min(),
    }
    if "created_age" in r.columns:
        delay = r.created_age - r.age
        after_a_day, after_a_week = (delay.isnull() | (delay > days * DAY) for days in (1, 7))
        values |= {
            "created_age": where(within(r.created_age, RECENT_DAYS), r.created_age).max(),
            "after_a_day": count(after_a_day),
            "after_a_week": count(after_a_week),
            "passed_on_late": count(is_any(r.verb, "repost", "quote") & after_a_week),
            "day_credit": after_a_day.ifelse(r.weight, 0).sum().cast("int64"),
            "late_credit": after_a_week.ifelse(r.weight, 0).sum().cast("int64"),
        }
    return r.group_by("user", "piece").agg(**{name: values[name] for name in columns})


def contents(own: ir.Table) -> ir.Table:
    """Aggregate own events by (user, content): how often the same content was created."""
    new = own.filter(own.creation, own.content.notnull())
    return new.group_by("user", "content").agg(copies=new.count())


def topics(engagements: ir.Table) -> ir.Table:
    """Aggregate engagements by (user, topic)."""
    tagged = engagements.select("user", topic=engagements.topics).unnest("topic")
    return tagged.group_by("user", "topic").agg(acts=tagged.topic.count())
