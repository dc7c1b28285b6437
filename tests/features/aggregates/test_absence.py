"""Features change smoothly: while a whole community is silent, no feature jumps from one day to the next.

In one day a feature may change only by the effect of time and by the rows that leave its window. BOUNDS has this limit
for each feature, as a function from a `Day` to one number per user.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from features.catalogue.tenure import FREE_POSTS
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows

COMMUNITIES, PEOPLE, DAYS = 3, 40, 7
ENGAGEMENTS = ["reply", "mention", "follow", "like", "repost", "quote", "dislike", "flag", "unfollow", "block"]
VERBS = ["post", "view", *ENGAGEMENTS]
CREATIONS = ["post", "reply", "quote"]
PERSONAL = ["follow", "unfollow", "block", "mention"]
PERIODS = [28 * k for k in range(1, 7)]
ROUNDING = 1e-6


def community(rng, number, size) -> list[tuple]:
    """Return events at random times, at most one per hour; a few users do and receive most of them."""
    hours = np.sort(rng.choice(400 * 24, size, replace=False))[::-1]
    ages = (hours + rng.uniform(0.01, 0.99, size)) / 24
    weights = rng.pareto(0.7, PEOPLE) + 0.02
    names = np.array([f"{number}/u{k}" for k in range(PEOPLE)])
    people = rng.choice(names, (size, 2), p=weights / weights.sum())
    events: list[tuple] = []
    pieces: list[tuple[str, str]] = []
    for k, (days, (actor, target), verb) in enumerate(zip(ages, people, rng.choice(VERBS, size), strict=True)):
        on = None
        if pieces and verb not in ("post", *PERSONAL) and rng.random() < 0.8:
            target, on = pieces[-1 - int(min(rng.geometric(0.02), len(pieces)) - 1)]
        elif rng.random() < 0.2:
            on = f"of old {rng.integers(9)}"  # a post whose creation is not in the events
        piece = f"{number}/o{k}" if verb in CREATIONS else None
        if piece:
            pieces.append((actor, piece))
        events.append(
            (
                float(days),
                None if rng.random() < 0.1 and not piece else str(actor),
                str(verb),
                None if verb == "post" else str(target),
                piece if verb == "post" else on,
                None if verb == "post" else piece,
                f"h{rng.integers(20)}" if piece and rng.random() < 0.7 else None,
                int(rng.integers(2)) if rng.random() < 0.7 else None,
                [f"t{rng.integers(4)}"] if rng.random() < 0.5 else None,
            )
        )
    return events


class Evidence:
    """Ages of all inputs of features at the first instant, one row each: user, age and, for pairs, other."""

    def __init__(self, events: list[tuple], users: list[str]):
        names = ["age", "user", "verb", "target", "object", "result", "content", "links", "topics"]
        own_events = pd.DataFrame(events, columns=names).astype({"user": object, "target": object})
        directed = own_events[
            own_events["verb"].isin(ENGAGEMENTS)
            & own_events["target"].notna()
            & (own_events["user"] != own_events["target"])
        ]
        received = directed.rename(columns={"user": "other", "target": "user"})
        named = received[received["other"].notna()]
        created = own_events[own_events["verb"].isin(CREATIONS)]
        pieces = created.assign(piece=created["object"].where(created["verb"] == "post", created["result"]))
        on_pieces = received[received["object"].notna() & ~received["verb"].isin(PERSONAL)]
        last = named.groupby(["user", "other"], as_index=False)["age"].min()
        drawing = pieces[pieces["piece"].isin(on_pieces["object"])]
        self.users = pd.Index(users)
        self.pairs = last
        self.named = named
        self._streams = {
            "made": own_events,
            "created": created,
            "made or reposted": own_events[own_events["verb"].isin([*CREATIONS, "repost"])],
            "hashed": created[created["content"].notna()],
            "linked": created[created["links"].notna()],
            "received": received,
            "known": named,
            "on pieces": on_pieces,
            "drawing pieces": drawing,
            "tagged": received[received["topics"].notna()],
            "given": named.rename(columns={"user": "other", "other": "user"}),
            "engagers": last,
            "engaged": last.rename(columns={"user": "other", "other": "user"}),
        }

    def ages(self, stream: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of each row's user, and the row's age."""
        rows = self._streams[stream]
        places = self.users.get_indexer(rows["user"].astype(object))
        return places[places >= 0], rows["age"].to_numpy()[places >= 0]


@dataclass(frozen=True)
class Day:
    """One silent day: features before and after it, and the rows that leave each window."""

    evidence: Evidence
    number: int
    before: pd.DataFrame
    after: pd.DataFrame

    def crossed(self, stream: str, *windows: float) -> np.ndarray:
        """Return how many rows of a stream leave any of the windows, by user."""
        return sum(self._count(stream, lambda ages, edge=edge: (ages <= edge) & (ages + 1 > edge)) for edge in windows)

    def in_window(self, stream: str, window: float) -> np.ndarray:
        """Return how many rows of a stream were in a window before the day, by user."""
        return self._count(stream, lambda ages: ages <= window)

    def _count(self, stream, holds) -> np.ndarray:
        places, ages = self.evidence.ages(stream)
        return np.bincount(places[holds(ages + self.number)], minlength=len(self.evidence.users)).astype(float)

    def oldest(self, stream: str) -> np.ndarray:
        """Return the age of each user's oldest row of a stream before the day, 0 without any."""
        places, ages = self.evidence.ages(stream)
        ages_by_user = np.zeros(len(self.evidence.users))
        np.maximum.at(ages_by_user, places, ages + self.number)
        return ages_by_user

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Pairs of users that engaged within the year before the day; `gone` marks those that leave it."""
        pairs = self.evidence.pairs
        ages = pairs["age"] + self.number
        return pairs.assign(gone=ages > 364)[ages <= 365]

    def by_user(self, values: pd.Series, how: str) -> np.ndarray:
        """Aggregate values of pairs by user."""
        grouped = values.groupby(self.pairs["user"]).agg(how)
        return grouped.reindex(self.evidence.users).fillna(0.0).to_numpy()


def unchanged(_day):
    return 0.0


def one_day(_day):
    return 1.0


def crossing(stream, *windows):
    """Bound of a count: one for each row that leaves a window."""
    return lambda day: day.crossed(stream, *windows)


def share_of(stream, window, factor=1.0):
    """Bound of a share of n, of which k leave: k / n; a Herfindahl index changes by at most twice that."""
    return lambda day: factor * over(day.crossed(stream, window), day.in_window(stream, window))


def fading(name, half_life, stream=None, window=0.0):
    """Bound of a decayed sum: its decay in a day, and what leaves at the edge of the window."""

    def bound(day):
        leaving = day.crossed(stream, window) * 2 ** (-(window - 1) / half_life) if stream else 0.0
        return (1 - 2 ** (-1 / half_life)) * day.before[name].to_numpy() + leaving

    return bound


def stepping(stream, edges, weights):
    """Bound of a sum of weights of occupied periods: a row that passes an edge can empty or fill a period."""

    def bound(day):
        crossed = [np.minimum(day.crossed(stream, edge), 1.0) for edge in edges]
        return sum(crossed[k] * weight for k, weight in enumerate(weights))

    return bound


def one_week(day):
    """Every seventh day, the oldest calendar week leaves the window."""
    return np.ones(len(day.before))


def fading_weeks(day):
    """Every seventh day, all weeks become a week older."""
    return (1 - 2 ** (-1 / 8)) * day.before["weeks_active_decayed_8w"].to_numpy() + 2 ** (-51 / 8)


def regular(day):
    """A week leaves, and a seventh of a week is added to the time since the first event."""
    weeks = np.minimum(day.oldest("made") / 7 + 1, 52)
    return (1 + np.nan_to_num(day.before["regularity_52w"].to_numpy()) / 7) / weeks


def over(part, total):
    return part / np.maximum(total, 1.0)


def pace(day):
    weights = [2.0**-k / (63 / 32) for k in range(6)]
    return sum(day.crossed("known", edge) * weight for edge, weight in zip(PERIODS, weights, strict=True))


def effective_topics(day):
    before, after = (rows["topics_drawing_90d"].to_numpy() for rows in (day.before, day.after))
    return share_of("tagged", 90, 2.0)(day) * before * after


def lifetime(day):
    """Bound of an average of lifetimes between 0 and 90 days."""
    return 90 * share_of("drawing pieces", 90)(day)


def per_piece(day):
    """Bound of a ratio of two sums that decay alike; the denominator is one plus its sum."""
    value = day.before["engagements_per_piece_14d"].to_numpy()
    engagement_bound = fading("engagements_decayed_14d", 14, "received", 90)(day)
    creation_bound = fading("created_decayed_14d", 14, "created", 90)(day)
    return np.maximum(engagement_bound, value * creation_bound) / (1 + day.after["created_decayed_14d"].to_numpy())


def people_per_piece(day):
    value = day.before["engagers_per_piece_90d"].to_numpy()
    return over(
        np.maximum(day.crossed("engagers", 90), value * day.crossed("created", 90)), day.after["created_90d"].to_numpy()
    )


def average_of(counted, plus):
    """Bound of an average of ln(plus + n) over engagers: engagers who leave, and decreases of n of the others."""

    def bound(day):
        prominence, lost = of_engagers(day, counted, plus)
        share_gone = over(day.by_user(day.pairs["gone"].astype(float), "sum"), day.by_user(prominence, "count"))
        return share_gone * day.by_user(prominence, "max") + day.by_user(lost, "max")

    return bound


def of_engagers(day, counted, plus):
    before, after = (
        np.log(np.maximum(plus + day.pairs["other"].map(rows[counted]).fillna(0.0), 1.0))
        for rows in (day.before, day.after)
    )
    return before, before - after


def attention(day):
    """An engager's distribution of attention changes by at most the share of their engagements that leave."""
    return parts_of(day, lambda lost, total: lost / total)


def favourite(day):
    """Only engagers with engagements that leave can change their favourite."""
    return parts_of(day, lambda lost, _: (lost > 0).astype(float))


def parts_of(day, part):
    lost, total = (
        pd.Series(values, day.evidence.users) for values in (day.crossed("given", 365), day.in_window("given", 365))
    )
    values = part(lost, total.clip(lower=1.0))
    return day.by_user(day.pairs["other"].map(values).fillna(0.0), "sum")


FADE = 1 - 2 ** (-1 / 30)  # daily decay of credibility, as a share; the same share for everybody it is passed on to


def weighing(stream, *windows, others="engagers"):
    """Bound of a weighted count of people: one for each that leaves a window, and the decay of the other weights."""
    return lambda day: day.crossed(stream, *windows) + FADE * day.in_window(others, 365)


def credible_per_piece(day):
    value = np.nan_to_num(day.before["credible_engagers_per_piece_90d"].to_numpy())
    moved = weighing("known", 90, 365)(day) + value * day.crossed("created", 90)
    return over(moved, day.after["created_90d"].to_numpy())


def credible_share(day):
    return share_of("on pieces", 90)(day) + 4 * FADE


def mutual(stream):
    def bound(day):
        return over(day.crossed("engagers", 365) + day.crossed("engaged", 365), day.in_window(stream, 365))

    return bound


def both_ways(day):
    return day.crossed("engagers", 365) + day.crossed("engaged", 365)


BOUNDS = {
    # credible
    "early_engagers": lambda day: day.in_window("known", 365) + 1,
    **{f"credible_engagers_{days}d": weighing("known", days, 365) for days in (7, 28, 90, 365)},
    "credible_engagers_decayed_28d": lambda day: (
        fading("credible_engagers_decayed_28d", 28)(day) + weighing("known", 365)(day)
    ),
    "credible_pace_28d": weighing("known", *PERIODS),
    "credible_returning_28d": weighing("known", 28),
    "credible_steady_168d": weighing("known", *PERIODS),
    "credibility_365d": weighing("known", 365),
    "credible_attention_365d": weighing("known", 365),
    **{
        f"uncounted_{kind}_{days}d": weighing("known", days, 365)
        for kind in ("new", "exchange", "returned")
        for days in (28, 365)
    },
    **{f"credible_pieces_drawing_{days}d": weighing("on pieces", days, 90, others="on pieces") for days in (28, 90)},
    "credible_lasting_pieces_90d": weighing("on pieces", 90, others="on pieces"),
    "credible_after_a_day_share_90d": credible_share,
    "credible_engagers_per_piece_90d": credible_per_piece,
    **dict.fromkeys(
        ["credible_periods_168d", "established_periods_168d"],
        lambda day: stepping("received", PERIODS, [1.0] * 6)(day) + 6 * FADE,
    ),
    "responder_periods_168d": lambda day: (
        stepping("received", PERIODS, [2.0] * 6)(day) + weighing("known", *PERIODS)(day) + 12 * FADE
    ),
    # four rounds halve every 5 days, and the remainder is counted in whole billionths
    "days_since_credible_engagement": lambda day: 1.0 + 4 * 30 / 5 + 30 + 365 * day.crossed("received", 365),
    # a user whose weight falls below a half is no longer established, so an older response becomes the last one
    **dict.fromkeys(
        ["days_since_established", "days_without_established", "days_of_silence"],
        lambda day: 365.0 * (day.in_window("received", 365) > 0),
    ),
    "credible_posts_90d": lambda day: (
        weighing("on pieces", 90, others="on pieces")(day) + weighing("known", 90, 365)(day)
    ),
    "days_absent": lambda _: 1.0,
    "days_of_absence": lambda day: 1.0 + FREE_POSTS * weighing("known", 90, 365)(day),
    "tenure_days": one_day,
    "seniority_days": lambda _: 1.0,
    "credible_rate_365d": lambda day: weighing("known", 365)(day) + day.before["credible_rate_365d"] / 28,
    "established_rate_365d": lambda day: 4 * weighing("known", 365)(day) + day.before["established_rate_365d"] / 7,
    "responder_rate_365d": lambda day: 4 * weighing("known", 365)(day) + day.before["responder_rate_365d"] / 7,
    # responses
    "early_responders": lambda day: day.in_window("known", 365) + 1,
    "responders_decayed_28d": fading("responders_decayed_28d", 28, "known", 365),
    "responders_365d": crossing("known", 365),
    "response_periods_168d": stepping("received", PERIODS, [1.0] * 6),
    "response_attention_365d": lambda day: day.crossed("known", 365) + favourite(day),
    "days_since_last_response": one_day,
    # reach
    "pace_28d": pace,
    **{f"engagers_{days}d": crossing("engagers", days) for days in (7, 28, 90, 365)},
    "engagers_ever": unchanged,
    "engagers_decayed_28d": fading("engagers_decayed_28d", 28),
    "new_engagers_28d": crossing("known", 28),
    "returning_engagers_28d": crossing("known", 28),
    "steady_engagers_168d": crossing("known", *PERIODS),
    "periods_drawing_168d": stepping("received", PERIODS, [1.0] * 6),
    "followers": unchanged,
    "followers_gained_28d": crossing("known", 28),
    "followers_lost_28d": crossing("known", 28),
    "followers_per_followed": unchanged,
    # response
    **{f"engagements_{days}d": crossing("received", days) for days in (7, 28, 90, 365)},
    "engagements_decayed_14d": fading("engagements_decayed_14d", 14, "received", 90),
    **{f"{kind}_28d": crossing("received", 28) for kind in ("replies", "endorsements")},
    **{
        f"{kind}_90d": crossing("received", 90)
        for kind in ("replies", "likes", "reposts", "mentions", "endorsements", "disapprovals")
    },
    "disapproval_share_90d": share_of("received", 90),
    "unknown_share_90d": share_of("received", 90),
    **{f"pieces_drawing_{days}d": crossing("on pieces", days) for days in (28, 90)},
    "best_piece_90d": crossing("on pieces", 90),
    "drawing_share_90d": share_of("created", 90),
    "engagements_per_piece_14d": per_piece,
    "engagers_per_piece_90d": people_per_piece,
    # persistence
    "lifetime_days_90d": lifetime,
    "after_a_day_share_90d": share_of("on pieces", 90),
    "after_a_week_share_90d": share_of("on pieces", 90),
    "passed_on_late_90d": crossing("on pieces", 90),
    "lasting_pieces_90d": crossing("on pieces", 90),
    # network
    "engager_prominence_365d": average_of("engagers_365d", 1),
    "engager_breadth_365d": average_of("people_engaged_365d", 0),
    "attention_365d": attention,
    "favoured_by_365d": favourite,
    "one_way_engagers_365d": both_ways,
    "mutual_share_365d": mutual("engagers"),
    "concentration_365d": share_of("known", 365, 2.0),
    "topics_drawing_90d": effective_topics,
    **{f"people_engaged_{days}d": crossing("engaged", days) for days in (90, 365)},
    "answered_share_365d": mutual("engaged"),
    "people_followed": unchanged,
    # cadence
    **{f"created_{days}d": crossing("created", days) for days in (28, 90, 365)},
    **{f"created_decayed_{half}d": fading(f"created_decayed_{half}d", half, "created", 90) for half in (7, 14)},
    "acts_365d": crossing("made", 365),
    "days_active_decayed_14d": fading("days_active_decayed_14d", 14, "made", 62),
    "weeks_active_52w": one_week,
    "weeks_active_decayed_8w": fading_weeks,
    "regularity_52w": regular,
    **{f"days_since_{last}": one_day for last in ("last_act", "last_piece", "last_engagement", "first_engagement")},
    "account_age_days": one_day,
    # originality
    "original_share_90d": share_of("made or reposted", 90),
    "reply_share_90d": share_of("created", 90),
    "repetitions_90d": crossing("hashed", 90),
    "excess_repetitions_90d": crossing("hashed", 90),
    "repetitions_beyond_10_90d": crossing("hashed", 90),
    "repeated_share_90d": share_of("hashed", 90),
    "most_repeated_90d": crossing("hashed", 90),
    "link_share_90d": share_of("linked", 90),
    "reposts_made_90d": crossing("made", 90),
    "disapprovals_made_90d": crossing("made", 90),
}
EXACT = {name for name, bound in BOUNDS.items() if bound in (unchanged, one_day)}

# The rows that make an optional feature known: it is known if and only if there is any of them in the window.
KNOWN_WHILE = {
    **dict.fromkeys(["disapproval_share_90d", "unknown_share_90d"], ("received", 90)),
    **dict.fromkeys(
        ["drawing_share_90d", "engagers_per_piece_90d", "reply_share_90d"],
        ("created", 90),
    ),
    "lifetime_days_90d": ("drawing pieces", 90),
    **dict.fromkeys(["after_a_day_share_90d", "after_a_week_share_90d"], ("on pieces", 90)),
    **dict.fromkeys(
        [
            "engager_prominence_365d",
            "engager_breadth_365d",
            "mutual_share_365d",
            "concentration_365d",
        ],
        ("engagers", 365),
    ),
    "topics_drawing_90d": ("tagged", 90),
    "answered_share_365d": ("engaged", 365),
    "regularity_52w": ("made", np.inf),
    **dict.fromkeys(["days_since_last_act", "tenure_days"], ("made", np.inf)),
    "days_since_last_piece": ("created", np.inf),
    **dict.fromkeys(["days_since_last_engagement", "days_since_first_engagement"], ("received", np.inf)),
    "original_share_90d": ("made or reposted", 90),
    **dict.fromkeys(["repeated_share_90d", "most_repeated_90d"], ("hashed", 90)),
    "link_share_90d": ("linked", 90),
    "credible_engagers_per_piece_90d": ("created", 90),
}
# These are known after an engagement by a credible user or any response, which no stream shows.
BY_CREDIBILITY = {
    "credible_after_a_day_share_90d",
    "days_since_credible_engagement",
    "days_since_established",
    "days_without_established",
    "days_since_last_response",
}


# Counts that may rise without new events: engagers who change from new to returning, become one-way or become
# favourites; ratios whose denominator decays; counts of periods, because periods move with as_of and two consecutive
# days can fall into one period today and into two tomorrow.
RISING = {
    "returning_engagers_28d",
    "attention_365d",
    "favoured_by_365d",
    "one_way_engagers_365d",
    "engagements_per_piece_14d",
    "pace_28d",
    "steady_engagers_168d",
    "periods_drawing_168d",
    "early_engagers",
    "early_responders",
    "credible_posts_90d",
    "days_absent",
    "days_of_absence",
    "seniority_days",
    "credible_rate_365d",
    "established_rate_365d",
    "responder_rate_365d",
    # weights rise if another recipient of the giver leaves the year, or if an exchange becomes longer
    *(feature.name for feature in CATALOGUE if feature.relation in ("responders", "credibility")),
    *(feature.name for feature in CATALOGUE if feature.relation == "pieces" and feature.name.startswith("credible")),
}
FALLING = [feature.name for feature in CATALOGUE if feature.default == 0 and feature.name not in RISING]


@pytest.fixture(scope="module")
def weeks(table, as_of):
    """Events of a busy year, and features on each day of the following week, in which there are no events."""
    rng = np.random.default_rng(7)
    rows = [event for k, size in enumerate((400, 1500, 4000)) for event in community(rng, k, size)]
    events = load_encoded_events(table(rows))
    return rows, [feature_rows(events, as_of + timedelta(days=k)).set_index("user") for k in range(DAYS + 1)]


@pytest.fixture(scope="module")
def silence(weeks):
    """The days of that week, for the users with a row on all of them."""
    events, rows = weeks
    users = sorted(set.intersection(*(set(frame.index) for frame in rows)))
    assert len(users) > 0.5 * COMMUNITIES * PEOPLE
    evidence = Evidence(events, users)
    return [Day(evidence, k, rows[k].loc[users], rows[k + 1].loc[users]) for k in range(DAYS)]


def test_every_feature_has_a_bound():
    assert set(BOUNDS) == set(CATALOGUE.names)
    assert {name for name in BOUNDS if CATALOGUE[name].default is None} == {
        *KNOWN_WHILE,
        *BY_CREDIBILITY,
        "account_age_days",
    }


@pytest.mark.parametrize("name", BOUNDS)
def test_a_silent_day_changes_a_feature_within_its_bound(silence, name):
    for day in silence:
        moved = (day.after[name] - day.before[name]).to_numpy()
        bound = np.broadcast_to(BOUNDS[name](day), moved.shape)
        if name in EXACT:
            np.testing.assert_allclose(moved[~np.isnan(moved)], bound[~np.isnan(moved)], atol=1e-8)
        beyond = np.abs(moved) > bound + ROUNDING  # false for unknown values
        assert not beyond.any(), (day.number, day.before.index[beyond][0], moved[beyond][0], bound[beyond][0])


@pytest.mark.parametrize("name", FALLING)
def test_silence_never_raises_a_count(silence, name):
    for day in silence:
        risen = (day.after[name] - day.before[name]).to_numpy() > ROUNDING
        assert not risen.any(), (day.number, day.before.index[risen][0])


@pytest.mark.parametrize("name", KNOWN_WHILE)
def test_features_stay_defined_until_the_last_row_leaves_their_window(silence, name):
    stream, window = KNOWN_WHILE[name]
    for day in silence:
        count = day.in_window(stream, window)
        assert (day.before[name].notna().to_numpy() == (count > 0)).all()
        assert (day.after[name].notna().to_numpy() == (count > day.crossed(stream, window))).all()


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUE.names if name not in KNOWN_WHILE and name not in BY_CREDIBILITY]
)
def test_counts_are_never_null(silence, name):
    assert all(day.before[name].notna().all() and day.after[name].notna().all() for day in silence)


def test_users_have_rows_until_a_year_after_their_last_event(weeks, as_of):
    events, rows = weeks
    everybody = sorted({name for event in events for name in (event[1], event[3]) if name is not None})
    evidence = Evidence(events, everybody)
    for number, frame in enumerate(rows):
        counts = sum(Day(evidence, number, frame, frame).in_window(stream, 365) for stream in ("made", "received"))
        assert list(frame.index) == [user for user, count in zip(everybody, counts, strict=True) if count]
