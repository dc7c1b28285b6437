"""Reference implementation of credibility and its features in plain pandas, in whole billionths.

Inputs are as in `independent_features`: users and pieces are numbers, -1 for none; ages are whole microseconds.
"""

import numpy as np
import pandas as pd

DAY = 86_400_000_000
PERIOD, RECENT, YEAR = 28 * DAY, 90 * DAY, 365 * DAY
BILLION = 1_000_000_000
RESPONSES = ["reply", "mention", "like", "repost", "quote"]


def responses(received: pd.DataFrame) -> pd.DataFrame:
    """Select responses; follows and negative events are not responses."""
    return received.loc[received["verb"].isin(RESPONSES), ["user", "other", "age"]]


def credible_features(responses: pd.DataFrame, own: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    """Compute the features of responders, each weighted by credibility."""
    pairs, credibility = _pair_weights(responses, own, people)
    age, first, weight = pairs["last"], pairs["first"], pairs["weight"]
    faded = _round_half_up(np.exp2(-age / (28 * DAY)) * BILLION)
    columns = {f"credible_engagers_{days}d": weight.where(age <= days * DAY, 0) for days in (7, 28, 90, 365)} | {
        "credible_engagers_decayed_28d": _round_half_up(faded * (weight / BILLION)),
        "credible_returning_28d": weight.where((age <= PERIOD) & (first > PERIOD), 0),
        "responders_365d": (pairs["other"] >= 0) * BILLION,
        "responders_decayed_28d": faded.where(pairs["other"] >= 0, 0),
        "response_attention_365d": _round_half_up((BILLION / pairs["breadth"]).fillna(0.0)),
        "credible_attention_365d": _round_half_up((weight / pairs["breadth"]).fillna(0.0)),
    }
    new = (BILLION - pairs["vouched"]).where(pairs["other"] >= 0, 0)
    for days in (28, 365):
        columns[f"uncounted_new_{days}d"] = new.where(age <= days * DAY, 0)
        less = (pairs["vouched"] - weight).where(age <= days * DAY, 0)
        columns[f"uncounted_exchange_{days}d"] = less.where(~pairs["returned"], 0)
        columns[f"uncounted_returned_{days}d"] = less.where(pairs["returned"], 0)
    sums = pd.DataFrame(columns).groupby(pairs["user"]).sum().reindex(people).fillna(0.0)
    sums = sums.join(_by_period(responses, pairs, people))
    sums["credibility_365d"] = credibility.reindex(people).fillna(0.0)
    full, present = _full(pairs), _full(pairs, "presence")
    since = (pairs["last"] / DAY - 30 * np.log2((full / BILLION).where(full > 0))).groupby(pairs["user"])
    by_user = pairs.groupby("user")
    established = (pairs["last"] / DAY).where(full >= BILLION // 2).groupby(pairs["user"])
    last = (pairs["last"] / DAY).where(present >= BILLION // 2).groupby(pairs["user"]).min()
    return (sums / BILLION).assign(
        days_of_silence=(last - 28).clip(lower=0).reindex(people).fillna(338.0),
        days_since_credible_engagement=since.min().reindex(people),
        days_since_established=established.min().reindex(people),
        days_without_established=(established.min() - 28).clip(lower=0).reindex(people),
        days_since_last_response=(by_user["last"].min() / DAY).reindex(people),
        early_responders=_early(responses).reindex(people).fillna(0.0),
    )


def _early(responses: pd.DataFrame) -> pd.Series:
    """Count the known people who first responded more than a year ago."""
    first = responses[responses["other"] >= 0].groupby(["user", "other"])["age"].max()
    return first[first > YEAR].groupby("user").size()


def _by_period(responses: pd.DataFrame, pairs: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    """Compute the features of the last six periods of 28 days."""
    six = responses[responses["age"] <= 6 * PERIOD]
    six = six.assign(period=(six["age"] - 1) // PERIOD).drop_duplicates(["user", "other", "period"])
    six = six.merge(pairs[["user", "other", "weight", "presence"]], on=["user", "other"])
    steady = six.groupby(["user", "other"]).agg(weight=("weight", "first"), periods=("period", "size")).reset_index()
    columns = {
        "credible_pace_28d": (six["weight"] * 0.5 ** six["period"]).groupby(six["user"]).sum() / (63 / 32),
        "credible_steady_168d": steady[steady["periods"] >= 3].groupby("user")["weight"].sum(),
        "response_periods_168d": six.drop_duplicates(["user", "period"]).groupby("user").size() * BILLION,
        **{
            name: _full(six, weight).groupby([six["user"], six["period"]]).max().groupby("user").sum()
            for name, weight in {"credible_periods_168d": "weight", "established_periods_168d": "presence"}.items()
        },
    }
    table = pd.DataFrame({name: column.reindex(people).fillna(0.0) for name, column in columns.items()})
    unknown = six[six["other"] < 0].groupby("user").size().reindex(people).fillna(0.0) * BILLION
    presences = six[six["other"] >= 0].drop_duplicates(["user", "other"]).groupby("user")["presence"].sum()
    of_named = table["established_periods_168d"] - unknown
    of_people = np.minimum(of_named, presences.reindex(people).fillna(0.0))
    return table.assign(responder_periods_168d=unknown + of_people)


def credible_pieces(
    reactions: pd.DataFrame, responses: pd.DataFrame, own: pd.DataFrame, people: pd.Index
) -> pd.DataFrame:
    """Compute the features of pieces, each reaction weighted by credibility, 1 for unknown users."""
    pairs, _ = _pair_weights(responses, own, people)
    weighed = reactions.merge(pairs[["user", "other", "weight"]], on=["user", "other"], how="left")
    weight = weighed["weight"].where(weighed["other"] >= 0, BILLION).fillna(0)
    columns = {
        "credit": weight,
        "late": weight.where(weighed["after_a_week"], 0),
        "day": weight.where(weighed["after_a_day"], 0),
        "age": weighed["age"].where(weight > 0, np.inf),
    }
    ways = {"credit": "sum", "late": "sum", "day": "sum", "age": "min"}
    by_piece = weighed[["user", "piece"]].assign(**columns).groupby(["user", "piece"]).agg(ways).reset_index()
    worth = by_piece["credit"].clip(upper=BILLION)
    sums = {
        **{f"credible_pieces_drawing_{days}d": worth.where(by_piece["age"] <= days * DAY, 0) for days in (28, 90)},
        "credible_lasting_pieces_90d": by_piece["late"].clip(upper=BILLION),
        "day": by_piece["day"],
        "credit": by_piece["credit"],
    }
    by_unknown = weighed[weighed["other"] < 0].drop_duplicates(["user", "piece"]).groupby("user").size()
    totals = pd.DataFrame(sums).groupby(by_piece["user"]).sum().reindex(people).fillna(0.0)
    share = totals.pop("day") / totals.pop("credit").replace(0.0, np.nan)
    return (totals / BILLION).assign(
        credible_after_a_day_share_90d=share, unknown_pieces=by_unknown.reindex(people).fillna(0.0)
    )


def _pair_weights(responses: pd.DataFrame, own: pd.DataFrame, people: pd.Index) -> tuple[pd.DataFrame, pd.Series]:
    """Return the pairs of a year with their weights, and the credibility of each user."""
    pairs = _pairs(responses, own)
    seeds = _seeds(pairs, own)
    credibility = _passed_on(pairs, seeds) if len(seeds) else pd.Series(BILLION, people)
    full = (pairs["other"].map(credibility).fillna(0.0) / (0.0004 * BILLION)).clip(upper=1.0)
    lasted = ((pairs["first"] / DAY - 28) / (90 - 28)).clip(0.0, 1.0).where(pairs["mutual"], 1.0)
    worth = lasted.where(~pairs["mutual"], lasted * 0.4)
    present = lasted.where(~pairs["mutual"] | (pairs["first"] - pairs["earlier"] >= 7 * DAY), 0.0)
    share = (full if len(seeds) else 1.0) * pairs["selectivity"].fillna(1.0)
    by_known = pairs["other"] >= 0
    counted = (~pairs["returned"]).astype(float)
    weights = {"vouched": share, "presence": share * present * counted, "weight": share * worth * counted}
    return pairs.assign(
        **{k: _round_half_up(part * BILLION).where(by_known, 0) for k, part in weights.items()}
    ), credibility


def _pairs(responses: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Return who responded to whom within a year, and the share of credibility passed on to each."""
    earlier = responses.assign(earlier=responses["age"].where(responses["age"] > PERIOD)).groupby(["user", "other"])
    pairs = earlier.agg(last=("age", "min"), first=("age", "max"), earlier=("earlier", "min")).reset_index()
    recent = own["age"] <= PERIOD
    gap = own[~recent].groupby("user")["age"].min() - own[recent].groupby("user")["age"].max()
    pairs["returned"] = (pairs["other"].map(gap) > 60 * DAY) & (pairs["first"] <= PERIOD)
    pairs = pairs[pairs["last"] <= YEAR].reset_index(drop=True)
    ways = set(zip(pairs["user"], pairs["other"], strict=True))
    pairs["mutual"] = pd.Series(
        [(o, u) in ways for u, o in zip(pairs["user"], pairs["other"], strict=True)], dtype=bool
    )
    pairs["breadth"] = pairs["other"].map(pairs[pairs["other"] >= 0].groupby("other").size())
    broad = np.clip(pairs.loc[pairs["other"] >= 0, "user"].nunique() / 2, 100, 1_000)
    pairs["selectivity"] = (2 - pairs["breadth"] / broad).clip(0.0, 1.0)
    late = (pairs["last"] - 70 * DAY).clip(lower=0)
    faded = _round_half_up(np.exp2(-(pairs["last"] + 3 * late) / (20 * DAY)) * BILLION)
    strength = faded * np.where(pairs["mutual"], 0.5, 1.0) * pairs["selectivity"]
    strength = strength.where(~pairs["returned"], 0.0)
    return pairs.assign(passed=_round_half_up((strength / pairs["breadth"]).fillna(0.0)))


def _seeds(pairs: pd.DataFrame, own: pd.DataFrame) -> pd.Index:
    """Return the established users: old accounts with responses from three senior accounts."""
    first = own.groupby("user")["age"].max()
    history = first.max() if len(first) else 0
    old = set(first.index[first >= min(history / 2, 180 * DAY)])
    senior = set(first.index[first >= min(history * 0.75, 360 * DAY)])
    among = pairs["user"].isin(old) & pairs["other"].isin(senior) & (pairs["selectivity"] > 0)
    responders = pairs[among].groupby("user").size()
    return responders.index[responders >= 3]


def _passed_on(pairs: pd.DataFrame, seeds: pd.Index) -> pd.Series:
    """Propagate for four rounds; return the last inflow minus its largest part."""
    inflow, own = pd.Series(BILLION, seeds), pd.Series(BILLION * 15 // 100, seeds)
    for _ in range(3):
        inflow = _round_half_up(_parts(pairs, inflow).groupby(pairs["user"]).sum() * 0.85).add(own, fill_value=0.0)
    parts = _parts(pairs, inflow).groupby(pairs["user"])
    return parts.sum() - parts.max()


def _parts(pairs: pd.DataFrame, inflow: pd.Series) -> pd.Series:
    return _round_half_up(pairs["other"].map(inflow).fillna(0.0) * (pairs["passed"] / BILLION))


def _full(pairs: pd.DataFrame, weight: str = "weight") -> pd.Series:
    """Return the weights in a column; unknown users weigh 1."""
    return pairs[weight].where(pairs["other"] >= 0, BILLION)


def _round_half_up(value: pd.Series) -> pd.Series:
    """Round to whole numbers, halves up."""
    return np.floor(value + 0.5)
