"""Credibility: how much the people who engage count, so that a crowd cannot be made up.

Reputation that anybody can give to anybody is made by whoever has many accounts. This one flows from seeds, people who
are established: each passes on what they have to those to whom they respond, so an account to which no established
person responds has nothing to give, however many there are of it. After TrustRank (Gyongyi, Garcia-Molina and Pedersen
2004) and EigenTrust (Kamvar, Schlosser and Garcia-Molina 2003), `ROUNDS` rounds of

    has(user)      = (1 - PASSED_ON) seed(user) + PASSED_ON received(user)
    received(user) = sum over givers of has(giver) * strength / people to whom the giver responds

and what somebody weighs is by what they received in the end, without the most that any one giver passed on: being
established once is not enough, it takes several people who respond to them now. The strength of a response halves with
every `FADING_DAYS` since the last of it and, where it is mutual, is `EXCHANGED`. Sums are of whole billionths, so that
every engine comes to the same.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import ibis
import ibis.expr.types as ir

from features.aggregates.materialize import Materialize
from features.aggregates.windows import BILLION, DAY, LOOKBACK_DAYS, decay, round_half_up, to_fixed_point, within

ROUNDS = 4
PASSED_ON = 0.85
FADING_DAYS = 30
EXCHANGED = 0.5
HEARD_BY = 3
FULL = 0.02
BROAD = 1_000
HISTORY_DAYS = 360
ESTABLISHED_DAYS = 180
NEW_DAYS, LASTING_DAYS = 28, 90


def histories(made: ir.Table, people: ir.Table) -> ir.Table:
    """Tell everybody how long the history of their scope is: since anybody first acted, `HISTORY_DAYS` at most.

    Parameters
    ----------
    made : (user, first_act_age)
    people : (key, scope)

    Returns
    -------
    (user, scope, history), in microseconds; none in a scope where nobody is known to have acted

    """
    everybody = people.select("scope", user="key")
    first = made.select("user", "first_act_age").join(everybody, "user")
    start = first.group_by("scope").agg(history=ibis.least(first.first_act_age.max(), HISTORY_DAYS * DAY))
    return everybody.join(start, "scope").select("user", "scope", "history")


def part_of(history: ir.IntegerValue, days: float) -> ir.FloatingValue:
    """Shorten some days in proportion to a history that is shorter than `HISTORY_DAYS`, and return microseconds."""
    return history.cast("float64") * (days / HISTORY_DAYS)


def responses(pairs: ir.Table) -> ir.Table:
    """Describe who responded to whom within 365 days, the people who are not known all together.

    A follow is no response: it is the cheapest thing to ask for and to sell.

    Parameters
    ----------
    pairs : from `relations.pairs`

    Returns
    -------
    (user, other, last_age, first_age, weeks), of responses alone, and: `mutual`, whether the user responds to the
    other as well; `breadth`, to how many people the other responds; `passed`, the part of the other's credibility that
    goes to the user, in billionths

    """
    year = pairs.filter(within(pairs.responded_age, LOOKBACK_DAYS)).select(
        "user",
        "other",
        last_age="responded_age",
        first_age="first_responded_age",
        weeks="responded_weeks",
    )
    known = year.filter(year.other.notnull())
    back = known.select(user=known.other, other=known.user, back=ibis.literal(True))
    breadth = known.group_by("other").agg(breadth=known.count())
    both = year.left_join(back, ["user", "other"]).drop("user_right", "other_right")
    given = both.left_join(breadth, "other").drop("other_right")
    mutual = given.back.notnull()
    strength = decay(given.last_age, FADING_DAYS).cast("float64") * mutual.ifelse(EXCHANGED, 1.0)
    passed = round_half_up(strength / given.breadth).fill_null(0)
    return given.mutate(mutual=mutual, passed=passed).drop("back")


def established(given: ir.Table, made: ir.Table, histories: ir.Table) -> ir.Table:
    """Choose the people from whom credibility flows, scope by scope: the established.

    Somebody is established who first acted 180 days ago, or before the middle of a shorter history, and to whom at
    least three people responded who did so too.

    Parameters
    ----------
    given, histories : as above
    made : (user, first_act_age)

    Returns
    -------
    (user, scope)

    """
    aged = made.select("user", "first_act_age").join(histories, "user")
    old = aged.filter(aged.first_act_age >= part_of(aged.history, ESTABLISHED_DAYS)).select("user")
    among = given.filter(given.passed > 0).join(old.select(other="user"), "other").join(old, "user")
    heard = among.group_by("user").agg(by=among.count())
    return heard.filter(heard.by >= HEARD_BY).select("user").join(histories, "user").select("user", "scope")


def propagate(given: ir.Table, has: ir.Table) -> ir.Table:
    """Let everybody pass on what they have.

    Parameters
    ----------
    given : as above
    has : (user, credibility), in billionths

    Returns
    -------
    (user, credibility, most), in billionths: all that reached the user, and the most that any one giver passed on

    """
    from_others = given.join(has.rename(other="user"), "other")
    part = from_others.credibility.cast("float64") * (from_others.passed.cast("float64") / BILLION)
    each = from_others.select("user", credibility=round_half_up(part))
    return each.group_by("user").agg(credibility=each.credibility.sum().cast("int64"), most=each.credibility.max())


def _with_seeds(inflow: ir.Table, seeds: ir.Table) -> ir.Table:
    passed_on = round_half_up(inflow.credibility.cast("float64") * PASSED_ON)
    own = seeds.select("user", credibility=ibis.literal(round((1 - PASSED_ON) * BILLION), "int64"))
    both = inflow.select("user", credibility=passed_on).union(own)
    return both.group_by("user").agg(credibility=both.credibility.sum().cast("int64"))


@contextmanager
def propagated_credibility(given: ir.Table, seeds: ir.Table, people: ir.Table, keep: Materialize) -> Iterator[ir.Table]:
    """Keep what reaches everybody from others in the last round: (user, credibility), in billionths.

    The most that any one giver passed on does not count, so that one person's word makes nobody credible. In a scope
    without seeds nothing is known of anybody's credibility, and everybody has all of it.
    """
    with ExitStack() as rounds:
        has = seeds.select("user", credibility=ibis.literal(BILLION, "int64"))
        for k in range(1, ROUNDS):
            has = rounds.enter_context(keep(f"credibility_{k}", _with_seeds(propagate(given, has), seeds)))
        last = propagate(given, has)
        vouched = last.select("user", credibility=last.credibility - last.most)
        seeded = people.left_join(seeds.select("scope").distinct(), "scope")
        seedless = seeded.filter(seeded.scope_right.isnull())
        everybody = seedless.select(user="key", credibility=ibis.literal(BILLION, "int64"))
        yield rounds.enter_context(keep("credibility", vouched.union(everybody)))


def responder_weights(given: ir.Table, credibility: ir.Table) -> ir.Table:
    """Weigh the people who engaged by their credibility, in billionths of a person.

    Somebody weighs fully from a credibility of `FULL` on, and less who responds to more than `BROAD` people in the
    year, down to nothing at twice as many: whoever addresses everybody tells nobody apart. Who is responded to in
    return weighs nothing at first, and the more the longer ago they began: from 28 days on, fully after 90, in young
    communities too: whoever makes up a crowd has them as well.

    Parameters
    ----------
    given : as above
    credibility : (user, credibility), in billionths

    Returns
    -------
    the columns of `responses`; `vouched`, what the other would weigh but for the exchange; and `weight`

    """
    known = given.left_join(credibility.rename(other="user"), "other").drop("other_right")
    full = (known.credibility.fill_null(0) / (FULL * BILLION)).clip(0.0, 1.0)
    share = full * (2.0 - known.breadth.fill_null(1) / BROAD).clip(0.0, 1.0)
    lasted = ((known.first_age.cast("float64") / DAY - NEW_DAYS) / (LASTING_DAYS - NEW_DAYS)).clip(0.0, 1.0)
    weight = to_fixed_point(share * known.mutual.ifelse(lasted, 1.0))
    return known.mutate(vouched=to_fixed_point(share), weight=weight).drop("credibility")


@contextmanager
def compute_credibility(
    pairs: ir.Table, made: ir.Table, people: ir.Table, histories: ir.Table, named: ir.Table | None, keep: Materialize
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """Keep what everybody has and what the people weigh who responded to them.

    Parameters
    ----------
    pairs : from `relations.pairs`
    made : (user, first_act_age)
    people : (key, user, scope)
    histories : as above
    named : (user, scope) of seeds that are given, by key; None chooses them
    keep : computes a table under a name

    Yields
    ------
    (user, credibility), and `responder_weights`

    """
    with (
        keep("given", responses(pairs)) as gave,
        keep("seeds", established(gave, made, histories) if named is None else named) as seeds,
        propagated_credibility(gave, seeds, people, keep) as has,
        keep("credited", responder_weights(gave, has)) as weights,
    ):
        yield has, weights
