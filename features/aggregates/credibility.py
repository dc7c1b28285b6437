"""Credibility: how much each responder counts, so that a crowd of new accounts adds nothing to a score.

Credibility flows from seeds, which are established users: each user passes their credibility on to the users to whom
they respond. An account to which no established user responds has nothing to pass on, and neither has a crowd of such
accounts. As in TrustRank (Gyongyi, Garcia-Molina and Pedersen 2004) and EigenTrust (Kamvar, Schlosser and Garcia-Molina
2003), each of `ROUNDS` rounds computes

    has(user)      = (1 - DAMPING) seed(user) + DAMPING received(user)
    received(user) = sum over givers of has(giver) * strength / users to whom the giver responds

A user's weight is computed from what they received in the last round, less the largest part from a single giver: one
responder alone makes nobody credible. The strength of a response halves with every `FADING_DAYS` since the last one,
and after `LATE_DAYS` `LATE_SPEED` times as fast, so accounts of people who left are soon worth nothing. It is
multiplied by the selectivity of the giver, which is 0 for who responds to everybody, and by `MUTUAL_STRENGTH` if the
pair is mutual. Users who return from an absence pass nothing on to those to whom they never responded before. Sums are
of whole billionths, so every engine returns the same result.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import ibis
import ibis.expr.types as ir

from features.aggregates.materialize import Materialize
from features.aggregates.windows import (
    BILLION,
    DAY,
    LOOKBACK_DAYS,
    RETURN_DAYS,
    days,
    decay,
    round_half_up,
    to_fixed_point,
    within,
)

ROUNDS = 4
DAMPING = 0.85
FADING_DAYS = 20
LATE_DAYS, LATE_SPEED = 70, 4
MUTUAL_STRENGTH = 0.5
MIN_RESPONDERS = 3
FULL_CREDIBILITY = 0.0004
BROAD_SHARE, LEAST_BROAD, MOST_BROAD = 0.5, 100, 1_000
HISTORY_DAYS, ESTABLISHED_DAYS = 360, 180
SENIOR_HISTORY_DAYS, SENIOR_DAYS = 480, 360
MUTUAL_MIN_DAYS, MUTUAL_FULL_DAYS = 28, 90
MUTUAL_WEIGHT = 0.4
MUTUAL_APART_DAYS = 7
ABSENCE_DAYS = 60


def history_lengths(activity: ir.Table, users: ir.Table) -> ir.Table:
    """Return for each user how long the history of their scope is: the time since its first event.

    `activity` is (user, first_act_age), `users` (key, scope). Returns (user, scope, history), in microseconds; no row
    in a scope without an event of a known user.
    """
    scopes = users.select("scope", user="key")
    first = activity.select("user", "first_act_age").join(scopes, "user")
    start = first.group_by("scope").agg(history=first.first_act_age.max())
    return scopes.join(start, "scope").select("user", "scope", "history")


def scale_to_history(history: ir.IntegerValue, days: float, full_days: int = HISTORY_DAYS) -> ir.FloatingValue:
    """Shorten some days in proportion to a history that is shorter than `full_days`, and return microseconds."""
    return ibis.least(history, full_days * DAY).cast("float64") * (days / full_days)


def responses(pairs: ir.Table, breadths: ir.Table, activity: ir.Table) -> ir.Table:
    """Describe who responded to whom within 365 days; unknown users count as one `other`, null.

    A follow is not a response: it is the cheapest thing to ask for and to sell. Returns (user, other, last_age,
    earlier_age, first_age, weeks), of responses alone, from `relations.pairs`, and: `mutual`, whether the user responds
    to the other as well; `returned`, whether the other first responded in the last 28 days and returned in them after
    more than 60 days without an event; `passed`, the part of the other's credibility that goes to the user, in
    billionths. `breadths` is from `breadths`, `activity` from `relations.activity`.
    """
    year = _of_last_year(pairs).select(
        "user",
        "other",
        last_age="responded_age",
        earlier_age="earlier_responded_age",
        first_age="first_responded_age",
        weeks="responded_weeks",
    )
    named = year.filter(year.other.notnull())
    back = named.select(user=named.other, other=named.user, back=ibis.literal(True))
    both = year.left_join(back, ["user", "other"]).drop("user_right", "other_right")
    joined = both.left_join(breadths, "other").drop("other_right")
    joined = joined.left_join(activity.select("gap_before_return", other="user"), "other").drop("other_right")
    mutual = joined.back.notnull()
    is_back = (joined.gap_before_return > ABSENCE_DAYS * DAY).fill_null(False)
    returned = is_back & within(joined.first_age, RETURN_DAYS)
    late = ibis.greatest(joined.last_age - LATE_DAYS * DAY, 0)
    faded = decay(joined.last_age + (LATE_SPEED - 1) * late, FADING_DAYS).cast("float64")
    strength = faded * mutual.ifelse(MUTUAL_STRENGTH, 1.0) * joined.selectivity
    passed = round_half_up(returned.ifelse(0.0, strength) / joined.breadth).fill_null(0).cast("int32")
    columns = ("user", "other", "last_age", "earlier_age", "first_age", "weeks")
    return joined.select(*columns, mutual=mutual, returned=returned, passed=passed)


@contextmanager
def materialized_responses(
    pairs: ir.Table, users: ir.Table, activity: ir.Table, keep: Materialize
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """Materialize `responses` and `breadths` of pairs from `relations.pairs`; `users` is (key, scope)."""
    with (
        keep("breadths", breadths(pairs, users)) as breadth,
        keep("responses", responses(pairs, breadth, activity)) as year,
    ):
        yield year, breadth


def _of_last_year(pairs: ir.Table) -> ir.Table:
    return pairs.filter(within(pairs.responded_age, LOOKBACK_DAYS))


def breadths(pairs: ir.Table, users: ir.Table) -> ir.Table:
    """Return to how many each user responded within 365 days, and how much that distinguishes.

    Responding to everybody distinguishes nobody. The `selectivity` is 1 up to half of those in the scope to whom
    anybody responded, but up to 100 at least and 1,000 at most, and falls to 0 at twice as many. `pairs` is from
    `relations.pairs`, `users` (key, scope). Returns (other, breadth, selectivity).
    """
    year = _of_last_year(pairs)
    responses = year.filter(year.other.notnull())
    scopes = users.select("scope", user="key")
    answered = responses.select("user").distinct().join(scopes, "user")
    by_scope = answered.group_by("scope").agg(answered=answered.count())
    breadth = responses.group_by("other").agg(breadth=responses.count())
    scoped = breadth.join(scopes.rename(other="user"), "other").join(by_scope, "scope")
    broad = (scoped.answered.cast("float64") * BROAD_SHARE).clip(float(LEAST_BROAD), float(MOST_BROAD))
    return scoped.select("other", "breadth", selectivity=(2.0 - scoped.breadth / broad).clip(0.0, 1.0))


def established(responses: ir.Table, breadths: ir.Table, activity: ir.Table, histories: ir.Table) -> ir.Table:
    """Choose the users from which credibility flows in each scope, the established ones: (user, scope).

    A user is established if their first event is 180 days old, or lies before the middle of a history shorter than 360,
    and at least three senior users responded to them. Senior are those whose first event is 360 days old, or lies in
    the first quarter of a history shorter than 480: accounts that came later do not establish each other, however many
    there are. Who responds to everybody establishes nobody. `activity` is (user, first_act_age).
    """
    aged = activity.select("user", "first_act_age").join(histories, "user")
    old = aged.filter(aged.first_act_age >= scale_to_history(aged.history, ESTABLISHED_DAYS)).select("user")
    threshold = scale_to_history(aged.history, SENIOR_DAYS, SENIOR_HISTORY_DAYS)
    senior = aged.filter(aged.first_act_age >= threshold).select(other="user")
    selective = senior.join(breadths.filter(breadths.selectivity > 0).select("other"), "other")
    among = responses.select("user", "other").join(selective, "other").join(old, "user")
    responders = among.group_by("user").agg(by=among.count())
    enough = responders.filter(responders.by >= MIN_RESPONDERS)
    return enough.select("user").join(histories, "user").select("user", "scope")


def propagate(responses: ir.Table, has: ir.Table) -> ir.Table:
    """Pass on the credibility that each user has, once; `has` is (user, credibility), in billionths.

    Returns (user, credibility, most), in billionths: all that reached the user, and the most that one giver passed on.
    """
    from_others = responses.join(has.rename(other="user"), "other")
    part = from_others.credibility.cast("float64") * (from_others.passed.cast("float64") / BILLION)
    inflow = from_others.select("user", credibility=round_half_up(part))
    return inflow.group_by("user").agg(
        credibility=inflow.credibility.sum().cast("int64"), most=inflow.credibility.max()
    )


def _with_seeds(inflow: ir.Table, seeds: ir.Table) -> ir.Table:
    passed_on = round_half_up(inflow.credibility.cast("float64") * DAMPING)
    own = seeds.select("user", credibility=ibis.literal(round((1 - DAMPING) * BILLION), "int64"))
    both = inflow.select("user", credibility=passed_on).union(own)
    return both.group_by("user").agg(credibility=both.credibility.sum().cast("int64"))


@contextmanager
def propagated_credibility(
    responses: ir.Table, seeds: ir.Table, users: ir.Table, keep: Materialize
) -> Iterator[ir.Table]:
    """Materialize what reaches each user from others in the last round: (user, credibility), in billionths.

    The largest part from a single giver does not count: no single user makes another one credible. In a scope without
    seeds credibility cannot be computed, and every user has full credibility.
    """
    with ExitStack() as rounds:
        has = seeds.select("user", credibility=ibis.literal(BILLION, "int64"))
        for k in range(1, ROUNDS):
            has = rounds.enter_context(keep(f"credibility_{k}", _with_seeds(propagate(responses, has), seeds)))
        last = propagate(responses, has)
        vouched = last.select("user", credibility=last.credibility - last.most)
        seeded = users.left_join(seeds.select("scope").distinct(), "scope")
        seedless = seeded.filter(seeded.scope_right.isnull())
        everybody = seedless.select(user="key", credibility=ibis.literal(BILLION, "int64"))
        yield rounds.enter_context(keep("credibility", vouched.union(everybody)))


def responder_weights(responses: ir.Table, breadths: ir.Table, credibility: ir.Table) -> ir.Table:
    """Weight responders by their (user, credibility), in billionths of a user.

    The weight is 1 from a credibility of `FULL_CREDIBILITY` on, times the responder's selectivity. A mutual responder
    weighs 0 for the first 28 days, counted from their first response, and from 90 days on `MUTUAL_WEIGHT` of the full
    weight, for good: however long people answer each other, each is worth less than half a one-way responder. These
    periods are not shortened in young communities, because a fake crowd has as many days there. A responder who
    returned weighs 0.

    Returns the columns of `responses`; `breadth` of the responder; `vouched`, the weight without the discounts of
    mutual responders and those who returned; `weight`; and `presence`, the extent to which the response shows that
    somebody established responded at all. In it a mutual responder counts in full from 90 days on, if their responses
    before the last 28 days lie at least a week apart: an exchange of long standing ends a silence, one that is taken up
    again does not.
    """
    of_responder = breadths.left_join(credibility.rename(other="user"), "other")
    full = ibis.least(of_responder.credibility.fill_null(0) / (FULL_CREDIBILITY * BILLION), 1.0)
    shares = of_responder.select("other", "breadth", share=full * of_responder.selectivity)
    shares = shares.mutate(vouched=_to_fixed_point(shares.share))
    joined = responses.left_join(shares, "other").drop("other_right")
    vouched = joined.vouched.fill_null(0)
    lasted = (days(joined.first_age) - MUTUAL_MIN_DAYS) / (MUTUAL_FULL_DAYS - MUTUAL_MIN_DAYS)
    lasted = ibis.greatest(ibis.least(lasted, 1.0), 0.0)
    is_lasting = (joined.first_age - joined.earlier_age >= MUTUAL_APART_DAYS * DAY).fill_null(False)
    presence = joined.mutual.ifelse(_to_fixed_point(joined.share * is_lasting.ifelse(lasted, 0.0)), vouched)
    weight = joined.mutual.ifelse(_to_fixed_point(joined.share * (lasted * MUTUAL_WEIGHT)), vouched)
    counted = {"presence": joined.returned.ifelse(0, presence), "weight": joined.returned.ifelse(0, weight)}
    return joined.mutate(vouched=vouched, **counted).drop("share")


def _to_fixed_point(share: ir.FloatingValue) -> ir.IntegerValue:
    """Round to whole billionths, one at most: half as wide as those of `to_fixed_point`."""
    return to_fixed_point(share).cast("int32")


@contextmanager
def compute_credibility(
    responses: ir.Table,
    breadths: ir.Table,
    activity: ir.Table,
    users: ir.Table,
    histories: ir.Table,
    seeds: ir.Table | None,
    keep: Materialize,
) -> Iterator[ir.Table]:
    """Materialize the credibility of each user.

    Parameters
    ----------
    responses, breadths : from the functions of these names
    activity : (user, first_act_age, gap_before_return), from `relations.activity`
    users : (key, user, scope)
    histories : from `history_lengths`
    seeds : (user, scope) of configured seeds, by key; None chooses the established users
    keep : materializes a table under a name

    Yields
    ------
    (user, credibility), in billionths

    """
    if seeds is None:
        seeds = established(responses, breadths, activity, histories)
    with keep("seeds", seeds) as chosen, propagated_credibility(responses, chosen, users, keep) as has:
        yield has
