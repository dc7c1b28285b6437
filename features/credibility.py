"""Credibility: how much the people who engage count, so that a crowd cannot be made up.

Reputation that anybody can give to anybody is made by whoever has many accounts. This one flows from seeds, people who
are established: each passes on what they have to those whom they engage with, so an account with which no established
person engages has nothing to give, however many there are of it. After TrustRank (Gyongyi, Garcia-Molina and Pedersen
2004) and EigenTrust (Kamvar, Schlosser and Garcia-Molina 2003), `ROUNDS` rounds of

    has(user)      = (1 - PASSED_ON) seed(user) + PASSED_ON received(user)
    received(user) = sum over givers of has(giver) * strength / people with whom the giver engages

and what somebody weighs is by what they received: being established once is not enough, it takes established people who
engage with them now. The strength of an engagement halves with every `FADING_DAYS` since the last of it and, where it
is mutual, is `EXCHANGED`. Sums are of whole billionths, so that every engine comes to the same.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import ibis
import ibis.expr.types as ir

from features.passes import Keep
from features.windows import BILLION, DAY, LOOKBACK_DAYS, billionths, decay, within

ROUNDS = 4
PASSED_ON = 0.85
FADING_DAYS = 30
EXCHANGED = 0.5
ESTABLISHED_DAYS = 180
HEARD_BY = 3
FULL = 0.05
NEW_DAYS, LASTING_DAYS = 28, 90


def given(pairs: ir.Table) -> ir.Table:
    """Describe what people gave to others within 365 days, those that are not known all together.

    Parameters
    ----------
    pairs : (user, other, last_age, first_age, approved_age, weeks) as `relations.pairs` gives them

    Returns
    -------
    (user, other, last_age, first_age, weeks) and: `mutual`, whether each approves of the other; `breadth`, how many
    people the other engages with; `passed`, the part of the other's credibility that goes to the user, in billionths

    """
    year = pairs.filter(within(pairs.last_age, LOOKBACK_DAYS))
    approved = year.filter(year.other.notnull(), within(year.approved_age, LOOKBACK_DAYS))
    back = approved.select(user=approved.other, other=approved.user, back=ibis.literal(True))
    breadth = year.filter(year.other.notnull()).group_by("other").agg(breadth=lambda known: known.count())
    both = year.left_join(back, ["user", "other"]).drop("user_right", "other_right")
    all_ = both.left_join(breadth, "other").drop("other_right")
    approving = all_.other.notnull() & within(all_.approved_age, LOOKBACK_DAYS).fill_null(False)
    mutual = approving & all_.back.notnull()
    strength = decay(all_.approved_age, FADING_DAYS).cast("float64") * mutual.ifelse(EXCHANGED, 1.0)
    passed = approving.ifelse((strength / all_.breadth).round().cast("int64"), 0)
    return all_.select("user", "other", "last_age", "first_age", "weeks", "breadth", mutual=mutual, passed=passed)


def seeds(given: ir.Table, made: ir.Table, people: ir.Table) -> ir.Table:
    """Choose the people from whom credibility flows, scope by scope: the established.

    Somebody is established who first acted 180 days ago, or before the middle of a shorter history, and with whom at
    least three people who did so too engage.

    Parameters
    ----------
    given : as above
    made : (user, first_act_age)
    people : (key, scope)

    Returns
    -------
    (user, scope)

    """
    everybody = people.select("scope", user="key")
    first = made.select("user", "first_act_age").join(everybody, "user")
    start = first.group_by("scope").agg(start=first.first_act_age.max())
    aged = first.join(start, "scope")
    old = aged.filter(aged.first_act_age >= ibis.least(aged.start // 2, ESTABLISHED_DAYS * DAY)).select("user")
    among = given.filter(given.passed > 0).semi_join(old.select(other="user"), "other").semi_join(old, "user")
    heard = among.group_by("user").agg(by=among.count())
    return heard.filter(heard.by >= HEARD_BY).select("user").join(everybody, "user").select("user", "scope")


def received(given: ir.Table, has: ir.Table) -> ir.Table:
    """Let everybody pass on what they have; (user, credibility) before and after, in billionths."""
    from_others = given.join(has.rename(other="user"), "other")
    part = from_others.credibility.cast("float64") * (from_others.passed.cast("float64") / BILLION)
    each = from_others.select("user", credibility=part.round().cast("int64"))
    return each.group_by("user").agg(credibility=each.credibility.sum().cast("int64"))


def _with_seeds(inflow: ir.Table, seeds: ir.Table) -> ir.Table:
    passed_on = (inflow.credibility.cast("float64") * PASSED_ON).round().cast("int64")
    own = seeds.select("user", credibility=ibis.literal(round((1 - PASSED_ON) * BILLION), "int64"))
    both = inflow.select("user", credibility=passed_on).union(own)
    return both.group_by("user").agg(credibility=both.credibility.sum().cast("int64"))


@contextmanager
def propagated(given: ir.Table, seeds: ir.Table, people: ir.Table, keep: Keep) -> Iterator[ir.Table]:
    """Keep what reaches everybody from others in the last round: (user, credibility), in billionths.

    In a scope without seeds nothing is known of anybody's credibility, and everybody has all of it.
    """
    with ExitStack() as rounds:
        has = seeds.select("user", credibility=ibis.literal(BILLION, "int64"))
        for k in range(1, ROUNDS):
            has = rounds.enter_context(keep(f"credibility_{k}", _with_seeds(received(given, has), seeds)))
        seedless = people.anti_join(seeds, "scope").select(user="key", credibility=ibis.literal(BILLION, "int64"))
        yield rounds.enter_context(keep("credibility", received(given, has).union(seedless)))


def credited(given: ir.Table, credibility: ir.Table) -> ir.Table:
    """Weigh the people who engaged by their credibility, in billionths of a person.

    Somebody weighs fully from a credibility of `FULL` on. Who is engaged with in return weighs nothing at first, and
    the more the longer ago they began: from 28 days on, fully after 90.

    Parameters
    ----------
    given : as above
    credibility : (user, credibility), in billionths

    Returns
    -------
    the columns of `given`, and `weight`

    """
    known = given.left_join(credibility.rename(other="user"), "other").drop("other_right")
    vouched = (known.credibility.fill_null(0) / (FULL * BILLION)).clip(0.0, 1.0)
    lasted = ((known.first_age.cast("float64") / DAY - NEW_DAYS) / (LASTING_DAYS - NEW_DAYS)).clip(0.0, 1.0)
    weight = billionths(vouched * known.mutual.ifelse(lasted, 1.0))
    return known.mutate(weight=weight).drop("credibility")
