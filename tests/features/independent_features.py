"""Reference implementation of every feature in plain pandas, written from the definitions, for comparisons.

Users, pieces and contents are numbers here, -1 for none; ages are whole microseconds. Counts over nothing are zero;
shares, averages and days since an event that never happened are unknown (NaN).
"""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd
from independent_credibility import credible_features, credible_pieces, responses

from features.catalogue import CATALOGUE
from features.events.event_table import CREATIONS, ENDORSEMENTS, ENGAGEMENTS, NEGATIVE

DAY = 86_400_000_000
WEEK, PERIOD, RECENT, YEAR = 7 * DAY, 28 * DAY, 90 * DAY, 365 * DAY
ABOUT_THE_PERSON = ("follow", "unfollow", "block", "mention")
OPTIONAL = ("object", "result", "content_hash", "links", "topics")


def plain_features(events: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Return one row per user with an event within 365 days before `as_of`, one column per feature."""
    acts, names = _acts(events, as_of)
    received = _received(acts)
    own = acts[acts["actor"] >= 0].drop(columns="target").rename(columns={"actor": "user"})
    active = np.union1d(own.loc[own["age"] <= YEAR, "user"], received.loc[received["age"] <= YEAR, "user"])
    people = pd.Index(active, name="user")
    table = pd.concat(
        [
            _reach(received, people),
            _follows(received, people),
            _response(received, people),
            _network(received, people),
            _topics(received, people),
            _pieces(received, own, people),
            credible_features(responses(received), own, people),
            credible_pieces(_reactions(received, _created_pieces(own)), responses(received), own, people),
            _cadence(own, people),
            _originality(own, people),
            _first_and_last(received, own, people),
        ],
        axis=1,
    )
    table = table.assign(**_combined(table))[CATALOGUE.names].astype(float)
    return table.set_axis(pd.Index(names[people], name="user"))


def _acts(events: pd.DataFrame, as_of: datetime) -> tuple[pd.DataFrame, pd.Index]:
    """Number users, pieces and contents, and select the events before the instant."""
    time = events["time"].astype("datetime64[us, UTC]")
    before = events[time < as_of]
    absent = pd.Series(None, index=before.index, dtype="str")
    object_, result, content, links, topics = (before.get(name, absent) for name in OPTIONAL)
    verb = before["verb"].astype("category")
    created = object_.where(verb == "post", result).where(verb.isin(CREATIONS))
    (actor, target), names = _numbered(before["actor"], before["target"])
    (piece, new_piece), _ = _numbered(object_, created)
    (content,), _ = _numbered(content)
    age = (pd.Timestamp(as_of) - time[before.index]) // pd.Timedelta(microseconds=1)
    acts = {
        "age": age,
        **_calendar(age, as_of),
        "actor": actor,
        "verb": verb,
        "target": target,
        "piece": piece,
        "made": new_piece,
        "content": content,
        "creation": verb.isin(CREATIONS),
        "links": pd.to_numeric(links),
        "topics": topics,
    }
    return pd.DataFrame(acts), names


def _calendar(age: pd.Series, as_of: datetime) -> dict[str, pd.Series]:
    """Count calendar days and weeks (UTC, from Monday) back from those of the last instant before `as_of`."""
    end = pd.Timestamp(as_of).value // 1000
    monday = 4 * DAY
    day, week = (end - age) // DAY, (end - age - monday) // WEEK
    return {"days_ago": (end - 1) // DAY - day, "weeks_ago": (end - 1 - monday) // WEEK - week}


def _numbered(*columns: pd.Series) -> tuple[list[np.ndarray], pd.Index]:
    """Number the values of several columns consistently."""
    codes, names = pd.factorize(pd.concat(columns, ignore_index=True).astype("str"))
    return np.split(codes.astype("int32"), len(columns)), names


def _received(events: pd.DataFrame) -> pd.DataFrame:
    """Select engagements: events by others, known or unknown, towards a user."""
    engaging = events["verb"].isin(ENGAGEMENTS) & (events["target"] >= 0) & (events["actor"] != events["target"])
    return events[engaging].rename(columns={"target": "user", "actor": "other"})


def _sums(rows: pd.DataFrame, people: pd.Index, columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Sum columns by user; users without rows have zero."""
    return pd.DataFrame(columns, index=rows.index).groupby(rows["user"]).sum().reindex(people).fillna(0.0)


def _count(rows: pd.DataFrame, people: pd.Index) -> pd.Series:
    return rows.groupby("user").size().reindex(people).fillna(0.0)


def _decay_weights(age: pd.Series, half_life: float) -> pd.Series:
    """Return decayed weights by age, rounded to nine decimals."""
    return np.exp2(-age / half_life).round(9)


def _share(part: pd.Series, total: pd.Series) -> pd.Series:
    return part / total.where(total != 0)


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["other"] >= 0]


def _reach(received: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    pairs = _named(received).groupby(["user", "other"])["age"].agg(last="min", first="max").reset_index()
    is_recent = pairs["last"] <= PERIOD
    windows = {f"engagers_{days}d": pairs["last"] <= days * DAY for days in (7, 28, 90, 365)}
    columns = windows | {
        "engagers_ever": pairs["last"] >= 0,
        "early_engagers": pairs["first"] > YEAR,
        "engagers_decayed_28d": _decay_weights(pairs["last"], 28 * DAY),
        "new_engagers_28d": pairs["first"] <= PERIOD,
        "returning_engagers_28d": is_recent & (pairs["first"] > PERIOD),
    }
    return _sums(pairs, people, columns).join(_periods(received, people))


def _periods(received: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    """Compute the features of the last six periods of 28 days."""
    six = received.loc[received["age"] <= 6 * PERIOD, ["user", "other", "age"]]
    six = six.assign(period=(six["age"] - 1) // PERIOD).drop_duplicates(["user", "other", "period"])
    by_others = _named(six)
    decayed = _sums(by_others, people, {"n": 0.5 ** by_others["period"]})["n"]
    steady = by_others.groupby(["user", "other"]).size().loc[lambda n: n >= 3].reset_index()
    columns = {
        "pace_28d": decayed / sum(0.5**period for period in range(6)),
        "steady_engagers_168d": _count(steady, people),
        "periods_drawing_168d": _count(six.drop_duplicates(["user", "period"]), people),
    }
    return pd.DataFrame(columns)


def _follows(received: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    follows, unfollows = (_named(received[received["verb"] == verb]) for verb in ("follow", "unfollow"))
    followed = follows.groupby(["user", "other"])["age"].agg(first="max", last="min")
    unfollowed = unfollows.groupby(["user", "other"])["age"].min().rename("unfollowed")
    pairs = followed.join(unfollowed, how="outer").reset_index()
    current = pairs["last"].notna() & ~(pairs["unfollowed"] <= pairs["last"])
    columns = {
        "followers": current,
        "followers_gained_28d": current & (pairs["first"] <= PERIOD),
        "followers_lost_28d": ~current & (pairs["unfollowed"] <= PERIOD),
    }
    following = pairs[current].drop(columns="user").rename(columns={"other": "user"})
    return _sums(pairs, people, columns).assign(people_followed=_count(following, people))


def _response(received: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    year = received[received["age"] <= YEAR]
    recent = received[received["age"] <= RECENT]
    age, verb = recent["age"], recent["verb"]
    kinds = {
        "replies": ("reply",),
        "likes": ("like",),
        "reposts": ("repost", "quote"),
        "mentions": ("mention",),
        "endorsements": ENDORSEMENTS,
        "disapprovals": NEGATIVE,
    }
    columns = {f"engagements_{days}d": age <= days * DAY for days in (7, 28, 90)}
    columns |= {f"{name}_90d": verb.isin(verbs) for name, verbs in kinds.items()}
    columns |= {f"{name}_28d": columns[f"{name}_90d"] & (age <= PERIOD) for name in ("replies", "endorsements")}
    columns |= {"engagements_decayed_14d": _decay_weights(age, 14 * DAY), "unknown_90d": recent["other"] < 0}
    return _sums(recent, people, columns).assign(engagements_365d=_count(year, people))


def _network(received: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    """Compute the features of the engagers of the last 365 days, and of the users engaged with."""
    year = _named(received[received["age"] <= YEAR])
    pairs = year.groupby(["user", "other"])["age"].agg(last="min", acts="size").reset_index()
    back = pairs[["user", "other"]].rename(columns={"user": "other", "other": "user"})
    pairs["mutual"] = pairs.merge(back, how="left", indicator=True)["_merge"] == "both"
    return pd.concat([_engagers(pairs, people), _engaged_users(pairs, people)], axis=1)


def _engagers(pairs: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    by_other = pairs.groupby("other")["acts"]
    columns = {
        "engagers": pairs["other"] >= 0,
        "prominence": np.log1p(pairs["other"].map(pairs.groupby("user").size()).fillna(0.0)),
        "breadth": np.log(by_other.transform("size")),
        "attention_365d": (pairs["acts"] / by_other.transform("sum")).round(9),
        "favoured_by_365d": pairs["acts"] == by_other.transform("max"),
        "one_way_engagers_365d": ~pairs["mutual"],
        "mutual": pairs["mutual"],
        "acts": pairs["acts"],
        "squares": pairs["acts"] ** 2,
    }
    sums = _sums(pairs, people, columns)
    return sums[["attention_365d", "favoured_by_365d", "one_way_engagers_365d"]].assign(
        engager_prominence_365d=_share(sums["prominence"], sums["engagers"]),
        engager_breadth_365d=_share(sums["breadth"], sums["engagers"]),
        mutual_share_365d=_share(sums["mutual"], sums["engagers"]),
        concentration_365d=_share(sums["squares"], sums["acts"] ** 2),
    )


def _engaged_users(pairs: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    engaged = pairs.rename(columns={"user": "other", "other": "user"})
    columns = {"people_engaged_365d": engaged["last"] <= YEAR, "people_engaged_90d": engaged["last"] <= RECENT}
    sums = _sums(engaged, people, columns | {"mutual": engaged["mutual"]})
    return sums.assign(answered_share_365d=_share(sums["mutual"], sums["people_engaged_365d"])).drop(columns="mutual")


def _topics(received: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    recent = received.loc[received["age"] <= RECENT, ["user", "topics"]].dropna()
    tagged = recent.explode("topics").groupby(["user", "topics"]).size().rename("acts").reset_index()
    sums = _sums(tagged, people, {"acts": tagged["acts"], "squares": tagged["acts"] ** 2})
    return pd.DataFrame({"topics_drawing_90d": _share(sums["acts"] ** 2, sums["squares"])})


def _pieces(received: pd.DataFrame, own: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    """Compute how long and how much a user's posts receive engagement."""
    created = _created_pieces(own)
    by_piece = _piece_reactions(received, created)
    new = by_piece[by_piece["made_age"] <= RECENT]
    reactions, columns = by_piece["reactions"], ["after_a_day", "after_a_week", "passed_on_late_90d"]
    sums = _sums(by_piece, people, {"reactions": reactions} | {name: by_piece[name] for name in columns})
    lifetime = _sums(new, people, {"days": (new["made_age"] - new["last_age"]).clip(lower=0) / DAY})["days"]
    result = {
        "pieces_drawing_28d": _count(by_piece[by_piece["last_age"] <= PERIOD], people),
        "pieces_drawing_90d": _count(by_piece, people),
        "best_piece_90d": reactions.groupby(by_piece["user"]).max().reindex(people).fillna(0.0),
        "drawing_share_90d": _share(_count(new, people), _count(created[created["made_age"] <= RECENT], people)),
        "lifetime_days_90d": _share(lifetime, _count(new, people)),
        "after_a_day_share_90d": _share(sums["after_a_day"], sums["reactions"]),
        "after_a_week_share_90d": _share(sums["after_a_week"], sums["reactions"]),
        "passed_on_late_90d": sums["passed_on_late_90d"],
        "lasting_pieces_90d": _count(by_piece[by_piece["after_a_week"] > 0], people),
    }
    return pd.DataFrame(result)


def _created_pieces(own: pd.DataFrame) -> pd.DataFrame:
    """Return recent posts; engagement of the last 90 days with older ones is more than a week late."""
    new = own[own["creation"] & (own["made"] >= 0) & (own["age"] <= RECENT + WEEK)]
    pieces = new.groupby(["user", "made"])["age"].max().rename("made_age").reset_index()
    return pieces.rename(columns={"made": "piece"})


def _reactions(received: pd.DataFrame, created: pd.DataFrame) -> pd.DataFrame:
    """Return reactions to posts in the last 90 days; posts of unknown creation count as old."""
    content = (received["piece"] >= 0) & ~received["verb"].isin(ABOUT_THE_PERSON)
    recent = received[content & (received["age"] <= RECENT)]
    reactions = recent[["user", "other", "piece", "verb", "age"]].merge(created, on=["user", "piece"], how="left")
    for name, delay in {"after_a_day": DAY, "after_a_week": WEEK}.items():
        reactions[name] = ~(reactions["made_age"] - reactions["age"] <= delay)
    return reactions


def _piece_reactions(received: pd.DataFrame, created: pd.DataFrame) -> pd.DataFrame:
    """Count the reactions of the last 90 days by (user, post)."""
    reactions = _reactions(received, created)
    reactions["passed_on_late_90d"] = reactions["verb"].isin(["repost", "quote"]) & reactions["after_a_week"]
    late_counts = {name: (name, "sum") for name in ("after_a_day", "after_a_week", "passed_on_late_90d")}
    by_piece = reactions.groupby(["user", "piece"])
    return by_piece.agg(
        made_age=("made_age", "first"), last_age=("age", "min"), reactions=("age", "size"), **late_counts
    ).reset_index()


def _cadence(own: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    age, creation = own["age"], own["creation"]
    columns = {f"created_{days}d": creation & (age <= days * DAY) for days in (28, 90, 365)}
    recent = creation & (age <= RECENT)
    columns |= {f"created_decayed_{days}d": _decay_weights(age, days * DAY).where(recent, 0.0) for days in (7, 14)}
    days, weeks = (own[["user", ago]].drop_duplicates() for ago in ("days_ago", "weeks_ago"))
    days, weeks = days[days["days_ago"] < 62], weeks[weeks["weeks_ago"] < 52]
    return _sums(own, people, columns | {"acts_365d": age <= YEAR}).assign(
        days_active_decayed_14d=_sums(days, people, {"n": _decay_weights(days["days_ago"], 14)})["n"],
        weeks_active_52w=_count(weeks, people),
        weeks_active_decayed_8w=_sums(weeks, people, {"n": _decay_weights(weeks["weeks_ago"], 8)})["n"],
    )


def _originality(own: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    recent = own[own["age"] <= RECENT]
    verb, creation, links = recent["verb"], recent["creation"], recent["links"]
    columns = {
        "pieces": creation,
        "reposts_made_90d": verb == "repost",
        "disapprovals_made_90d": verb.isin(NEGATIVE),
        "answers": verb.isin(["reply", "quote"]),
        "linking": creation & (links > 0),
        "links_known": creation & links.notna(),
    }
    sums = _sums(recent, people, columns)
    contents = recent[creation & (recent["content"] >= 0)].groupby(["user", "content"]).size().rename("copies")
    contents = contents.reset_index()
    repeated = _sums(contents, people, {"all": contents["copies"], "more": contents["copies"] - 1})
    return sums[["reposts_made_90d", "disapprovals_made_90d"]].assign(
        original_share_90d=_share(sums["pieces"], sums["pieces"] + sums["reposts_made_90d"]),
        reply_share_90d=_share(sums["answers"], sums["pieces"]),
        repetitions_90d=repeated["more"],
        excess_repetitions_90d=(repeated["more"] - 5).clip(lower=0),
        repetitions_beyond_10_90d=(repeated["more"] - 10).clip(lower=0),
        repeated_share_90d=_share(repeated["more"], repeated["all"]),
        most_repeated_90d=contents.groupby("user")["copies"].max().reindex(people),
        link_share_90d=_share(sums["linking"], sums["links_known"]),
    )


def _first_and_last(received: pd.DataFrame, own: pd.DataFrame, people: pd.Index) -> pd.DataFrame:
    acted, engaged = (rows.groupby("user")["age"].agg(["min", "max"]).reindex(people) for rows in (own, received))
    piece = own[own["creation"]].groupby("user")["age"].min().reindex(people)
    days = {
        "days_since_last_act": acted["min"],
        "days_since_first_act": acted["max"],
        "days_since_last_piece": piece,
        "days_since_last_engagement": engaged["min"],
        "days_since_first_engagement": engaged["max"],
        "account_age_days": acted["max"].combine(engaged["max"], np.fmax),
    }
    return pd.DataFrame(days) / DAY


def _combined(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Compute the features derived from other columns."""
    weeks = (table["days_since_first_act"] / 7 + 1).clip(upper=52)
    engagements = table["engagements_90d"]
    away = table["days_since_last_act"].fillna(table["account_age_days"])
    history = np.fmin(table["days_since_first_act"].max(), 1_000)  # of a scope with any events
    absent = (away - np.fmin(history // 10, 56)).clip(lower=0)
    return {
        "followers_per_followed": (table["followers"] + 1) / (table["people_followed"] + 1),
        "disapproval_share_90d": _share(table["disapprovals_90d"], engagements),
        "unknown_share_90d": _share(table["unknown_90d"], engagements),
        "engagements_per_piece_14d": (table["engagements_decayed_14d"] + 1) / (table["created_decayed_14d"] + 1),
        "engagers_per_piece_90d": _share(table["engagers_90d"], table["created_90d"]),
        "credible_engagers_per_piece_90d": _share(table["credible_engagers_90d"], table["created_90d"]),
        "days_absent": absent,
        "days_of_absence": absent + (table["created_90d"] - 1_000 * (1 + table["credible_engagers_90d"])).clip(lower=0),
        "regularity_52w": _share(table["weeks_active_52w"], weeks),
        "credible_rate_365d": table["credible_engagers_365d"] * 28 / table["account_age_days"].clip(28, 365),
        "established_rate_365d": table["credible_engagers_365d"] * 28 / table["account_age_days"].clip(7, 365),
        "responder_rate_365d": 28
        * (
            table["credible_engagers_365d"].clip(upper=5) / table["account_age_days"].clip(90, 365)
            + (table["credible_engagers_365d"] - 5).clip(lower=0) / table["account_age_days"].clip(7, 365)
        ),
        "tenure_days": table["days_since_first_act"],
        "credible_posts_90d": table["unknown_pieces"]
        + np.fmin(table["credible_pieces_drawing_90d"] - table["unknown_pieces"], table["credible_engagers_90d"]),
        "seniority_days": (table["account_age_days"] - np.fmin(history, 360) / 2).clip(lower=0),
    }
