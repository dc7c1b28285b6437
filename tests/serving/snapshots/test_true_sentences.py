"""Every sentence of explanations is true: what it claims is computed again, from the events or from the tables.

The counts come from the events themselves, what people count as from the reference implementation of the features, and
points from the model. A sentence that matches no pattern fails, so none goes unchecked.
"""

import importlib
import math
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
import pytest

from features.events.loading import load_encoded_events, resolve_as_of
from features.simulation import Community, simulate
from serving.scoring import score_users
from serving.snapshots.brief import brief
from serving.snapshots.facts import REST
from serving.snapshots.repository import open_snapshot, write_snapshot
from serving.snapshots.story import ANONYMOUS, APPEARED, COUNTS_HALF, ENGAGING, ESTABLISHED, SINCE_THEN
from training.config import Config, Model
from training.dataset.labels import audience_label
from training.dataset.panel import Split, build_panel
from training.explanation.ledger import contributions
from training.fit import fit
from training.home import Home
from training.model.feature_sets import panel_features

ROOT = Path(__file__).parents[3]
RESPONSES = {"reply", "mention", "repost", "quote", "like"}
HORIZON = timedelta(days=28)
USERS = 200
EVENLY = math.sqrt(0.5)  # what responses spread over four weeks count on average, nearly
COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 500, 1_000]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    events_file = tmp_path_factory.mktemp("simulated") / "events.parquet"
    simulate(Community(users=800, days=420, seed=11), events_file)
    return events_file


@pytest.fixture(scope="module")
def travel(import_once):
    return import_once("travel")[0]


class Checked:
    """A scored community, and what is true of its users."""

    def __init__(self, folder, events_file, plain_features):
        encoded = load_encoded_events(events_file)
        as_of = resolve_as_of(encoded.rows) - HORIZON
        cutoffs = tuple(as_of - k * HORIZON for k in (4, 3, 2, 1))
        panel = build_panel(encoded, Split(cutoffs), HORIZON.days, features=panel_features())
        self.bundle = fit(panel, Split(cutoffs), Config(model=Model(trees=60)))
        self.scores, rows = score_users(encoded, as_of, self.bundle, "1")
        home = Home(folder / "home")
        write_snapshot(home, as_of, self.bundle, "1", self.scores, rows)
        self.snapshot = open_snapshot(home)
        self.scores = self.scores[self.scores["scope"] == "all"].set_index("user")
        events = pd.read_parquet(events_file)
        age = (pd.Timestamp(as_of) - events["time"]) / pd.Timedelta(days=1)
        self.events = events.assign(age=age)[age > 0]
        self.table = plain_features(events, as_of)
        label = audience_label(encoded, as_of, HORIZON.days)
        self.audience = label[label["scope"] == "all"].set_index("user")["audience"]
        others = self.events[self.events["actor"] != self.events["target"]]
        unknown = others[others["actor"].isna() & others["verb"].isin(RESPONSES)]
        self.anonymous = dict(list(unknown.groupby("target")))
        self.by_target = dict(list(others.groupby("target")))
        self.by_actor = dict(list(self.events.groupby("actor")))
        self.last_own = self.events.groupby("actor")["age"].min()

    def active_scores(self, days):
        """Return the scores of the users with an own event in the last days."""
        return self.scores["score"].reindex(self.last_own.index[self.last_own <= days]).dropna()

    def sample(self):
        """Choose users of each kind, and others at random."""
        table = self.table.loc[self.table.index.intersection(self.scores.index)]
        score = self.scores["score"].reindex(table.index)
        kinds = {
            "strong": score.nlargest(20).index,
            "low": score.nsmallest(20).index,
            "newcomer": table.index[table["account_age_days"] < 45][:20],
            "absent": table.index[(table["days_of_absence"] > 0) & (table["engagers_365d"] > 2)][:20],
            "repeating": table["repetitions_90d"].nlargest(20).index,
        }
        assert all(len(users) >= 5 for users in kinds.values()), {kind: len(users) for kind, users in kinds.items()}
        chosen = list(dict.fromkeys(user for users in kinds.values() for user in users))
        rest = table.drop(chosen).sample(USERS - len(chosen), random_state=0)
        return [*chosen, *rest.index]

    def answered_by_returned(self):
        """Return users to whom people responded who came back after more than 60 days away, if there are any."""
        uncounted = self.table["uncounted_returned_365d"].reindex(self.scores.index).nlargest(20)
        return list(uncounted.index[uncounted > 0])


@pytest.fixture(scope="module", params=["simulated", pytest.param("travel", marks=pytest.mark.real)])
def community(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests" / "features"))
        plain_features = importlib.import_module("independent_features").plain_features
    folder = tmp_path_factory.mktemp("community")
    return Checked(folder, request.getfixturevalue(request.param), plain_features)


class Person:
    """What is true of one user: counts of their events, what people count as, and what the model gives."""

    def __init__(self, community, user):
        self.community, self.user = community, user
        self.row, self.scored = community.table.loc[user], community.scores.loc[user]
        self.unclipped = community.bundle.predict(self.row.to_frame().T)["unclipped"].iloc[0]
        self.explained = community.snapshot.explain(user)
        self.reasons = self.explained.reasons
        nothing = community.events.iloc[:0]
        self.received = community.by_target.get(user, nothing)
        self.own = community.by_actor.get(user, nothing)

    def responders(self, days):
        rows = self.received[self.received["verb"].isin(RESPONSES) & (self.received["age"] <= days)]
        return rows["actor"].nunique()

    def engagers(self, days=math.inf, beyond=-1.0):
        rows = self.received[~self.received["verb"].isin({"post", "view"})]
        first, last = (rows.groupby("actor")["age"].agg(way) for way in ("max", "min"))
        return int(((last <= days) & (first > beyond)).sum())

    def returned(self):
        """Count those who first responded in the last 28 days and were away for more than 60 days before these."""
        rows = self.received[self.received["verb"].isin(RESPONSES)].dropna(subset="actor")
        first = rows.groupby("actor")["age"].max()
        acts = {name: self.community.by_actor[name]["age"] for name in first.index[first <= 28]}
        return sum(age[age > 28].min() - age[age <= 28].max() > 60 for age in acts.values())

    def last_response(self):
        unknown = self.community.anonymous.get(self.user, self.received)
        return min(self.received["age"].min(), unknown["age"].min())

    def posts_beyond(self):
        return max(self.row["created_90d"] - 1_000 * (1 + self.row["credible_engagers_90d"]), 0.0)

    def posts(self, days=90):
        return self.own[self.own["verb"].isin({"post", "reply", "quote"}) & (self.own["age"] <= days)]

    def repeated(self):
        return self.posts()["content_hash"].dropna().duplicated().sum()

    def gain(self, **values):
        """Return the points that other values of features would add."""
        rows = pd.DataFrame([self.row, self.row])
        for name, value in values.items():
            rows.iloc[1, rows.columns.get_loc(name)] = value
        before, after = self.community.bundle.predict(rows)["score"]
        return after - before

    def least_gain(self, recent, year):
        """Return the points if more established people had responded, the recent ones 28 days ago."""
        silence = {"days_of_silence": 0.0} if recent else {}
        return self.gain(**self.more(recent, year, 0.5), **silence)

    def more(self, recent, year, counted=EVENLY):
        """Return the features if more established people had responded, by default spread over the last 28 days."""
        row = self.row
        responders, age = row["credible_engagers_365d"] + year, min(row["account_age_days"], 365)
        first = 28 / max(age, 90) * min(responders, 5)
        return {
            "credible_engagers_decayed_28d": row["credible_engagers_decayed_28d"] + recent * counted,
            "responder_rate_365d": first + 28 / max(age, 7) * max(responders - 5, 0),
        }

    def most_from_anybody(self):
        """Return the width in points of the band in which responses from anybody move a score."""
        bundle = self.community.bundle
        return 2 * bundle.bounded.limit * bundle.scale.points_per_nat

    def absence_after(self, days):
        """Return the absence when the user has been inactive for so many days."""
        history = self.community.events.loc[lambda rows: rows["actor"].notna(), "age"].max()
        since = self.row["days_since_last_act"]
        return days - min((history + days - (self.row["account_age_days"] if math.isnan(since) else since)) // 10, 56)

    def with_members(self, count):
        posts = self.row["credible_posts_90d"] + count
        return self.gain(**self.more(count, count), days_of_silence=0.0, credible_posts_90d=posts)

    def anonymous(self, days):
        """Return how many responses of some days have no known actor."""
        rows = self.community.anonymous.get(self.user)
        return 0 if rows is None else int((rows["age"] <= days).sum())

    def days_of(self, period):
        """Return the days of a period in words; None where it is not the time since the user was first seen."""
        if period == SINCE_THEN:
            return self.first_seen() if self.first_seen() < 365 else None
        if period.startswith("in "):
            days = window(period.removeprefix("in the last "))
            return days if self.first_seen() >= days else None
        days = self.first_seen()
        return days if long_ago(period.removeprefix("since this user appeared "), days) and days < 365 else None

    def periods(self):
        """Return in how many of the last six periods of 28 days anybody responded."""
        unknown = self.community.anonymous.get(self.user, self.received.iloc[:0])
        named = self.received[self.received["verb"].isin(RESPONSES)]
        ages = pd.concat([named["age"], unknown["age"]])
        return (ages[ages <= 168] // 28).nunique()

    def points_of(self, features):
        """Return the points of some features together, relative to the average of active users."""
        bundle, baseline = self.community.bundle, self.community.snapshot.baseline("all")
        return contributions(bundle, self.row.to_frame().T, baseline)[list(features)].sum(axis=1).iloc[0]

    def is_scale(self, times):
        people = self.community.bundle.scale.people
        return abs(float(times) - people(60.0) / people(50.0)) <= 0.05 + 1e-9

    def first_seen(self):
        return max(rows["age"].max() for rows in (self.received, self.own) if len(rows))


def number(text):
    return float(text.replace(",", ""))


def about(text, value):
    """Say whether a number in words is a value, rounded; `less than half` is below 0.5."""
    if text.startswith("less than half"):
        return value < 0.5
    return number(re.search(r"[\d,]+", text)[0]) == math.floor(value + 0.5) >= 1


def long_ago(text, days):
    if text == "less than a day ago":
        return days < 1
    count, unit = re.fullmatch(r"(?:more than )?([\d,]+) (day|year)s? ago", text).groups()
    return number(count) == math.floor(days / {"day": 1, "year": 365.25}[unit])


def points(text, value):
    """Say whether a number of points in words is a value, rounded, without decimals from 10 on."""
    half = 0.5 if float(text) >= 10 and "." not in text else 0.05
    return abs(float(text) - value) <= half + 1e-6


N = r"([\d,]+)"
MEMBERS = r"(about [\d,]+ established members?|[\d.]+ of an established member|less than 0\.1 of an established member)"
AGO = r"(less than a day ago|[\d,]+ days? ago|more than [\d,]+ years? ago)"
P = r"([\d.]+) points?"
SENTENCES_OF_RESPONSES = re.compile(
    r"(?<=\.) (?=A response|An anonymous response|Nobody who counts much|Somebody|No response|"
    r"Established or not|No person|This makes|Most of the points)"
)
IN_TIME = re.compile(rf"{APPEARED.pattern}|{SINCE_THEN}")
WINDOW = r"the last (\d+ days|year)"
POINTS = r": ([+-][\d.]+) points\.$"  # of a reason
AVERAGE = r" \(average(?: in \d+ days?)?: [^)]+\)"
HALF = "who counts much"
AS_MUCH = (
    r"have at least as m(?:uch|any)|have been here at least as long|had such a response(?: as recently)?"
    r"(?: in the last 28 days)?"
)
MORE_OF_OTHERS = r"have more|have been here longer|had such a response(?: more recently)?"
SHARE = re.compile(r" \((\d+)% of active users ([^)]+)\)")
SINCE = f"{SINCE_THEN}(?: (?:{AGO[1:-1]}))?"
PERIOD = rf"(in the last \d+ days|in the last year|{SINCE})"
WHY_NEW = "hardly any established member responds to them"
WHY_EXCHANGE = "this user responds to them as well"
APART = ", not counting people with whom this user exchanges responses"
RETURNED = "came back lately after more than 60 days without activity here, and had never responded to this user before"
WHY_RETURNED = f"they {RETURNED}"
MORE = (
    rf"within four weeks {N} established members? responded to this user"
    "(?:, each for the first time and to a different| for the first time, to a) new post"
)
IN_FULL = rf"if they counted in full, the score would be at least {P} higher"
RESPONSES_OF = {
    "people": ["responder_rate_365d"],
    "lately": ["credible_engagers_decayed_28d"],
    "last": ["days_of_silence"],
    "periods": ["responder_periods_168d"],
}
SUBJECTS = {
    "posts with engagement that counts": ["credible_posts_90d"],
    "days since the first activity": ["tenure_days"],
    "days since the last activity": ["days_of_absence"],
    "repeated posts": ["repetitions_beyond_10_90d"],
    "people who responded, as they count": RESPONSES_OF["people"],
    "responses, older ones counting less": RESPONSES_OF["lately"],
    "days since a response that counts": RESPONSES_OF["last"],
    "four-week periods with a response": RESPONSES_OF["periods"],
}
CAUSES = {
    "people who count": "people",
    "people who responded": "anybody",
    "the responses count now": "lately",
    "the last response is": "last",
    "periods with a response": "periods",
}
PART = r"[a-z][^+-]+? [+-][\d.]+"
WHO = (
    rf"(?:{N} (?:people|person) who responded|"
    rf"{N} (?:people|person) who engaged with this user \((\d+) of them responded\))"
)
OTHERS_CHANGE = r"( \(this includes changes in other points\))?"
CERTAINTY = r"for 9 in 10 similar users, [^.]+ engages?[ .]|Very probably, [^.]+ engages\."
OPENING = "The|Even (?:without such activity|if the repeats go on|with as many posts), the"
SPAN = rf"(the last six four-week periods|the (?:one|\d) four-week periods? begun {SINCE})"


def window(text):
    return 365 if text == "year" else int(text.split()[0])


def is_standing(p, user, score, day):
    return user == p.user and abs(float(score) - p.scored["score"]) <= 0.05 + 1e-9 and len(day) == 10


def is_rank(p, share, users, period, side, mean):
    """The users are those with an own event in the period; the share of them with fewer points is rounded down.

    The average is named where it lies on the other side of the score than half of the users.
    """
    days = 56 if period == "eight weeks" else int(period.split()[0])
    scores = p.community.active_scores(days)
    below = (scores < p.scored["score"] - 1e-9).mean() * 100
    true = {
        "None of": below == 0,
        "Fewer than 1% of": below < 1,
        "The score is higher than": below == 100,
    }
    if share.startswith("At most"):
        true[share] = 0 < len(scores) // 1_000 == number(re.search(N, share)[1]) and below < 0.1
    elif share not in true:
        shown = share.removeprefix("The score is higher than ").removesuffix("% of")
        true[share] = 0 <= below - float(shown) < (0.1 if "." in shown else 1) + 1e-9
    average, score = round(scores.mean(), 1), round(p.scored["score"], 1)
    sides = {"below": below >= 50 and score < average, "above": below < 49.9 and score > average}
    right = (sides[side] and is_start(p, mean)) if side else not any(sides.values())
    return number(users) == len(scores) and true[share] and right


def is_start(p, mean):
    days = p.community.snapshot.baseline("all").active_days
    return abs(p.community.active_scores(days).mean() - float(mean)) <= 0.05 + 1e-6


def is_interval(p, interval):
    low, high = p.scored["low"], p.scored["high"]
    phrases = {"nobody": (0, 0), "nobody or 1 person": (0, 1), "1 person": (1, 1)}
    ends = phrases.get(interval) or tuple(int(number(n)) for n in re.findall(N, interval))
    return ends in {(low, high), (low,) if low == high else None}


def is_expected(p, count):
    return p.scored["expected_audience"] >= 0.9 and about(count, p.scored["expected_audience"])


def is_chance(p, one, of):
    """The chance is that of the model, rounded, and no more than the expected number of people."""
    expected = p.scored["expected_audience"]
    share = p.community.bundle.chance.of(expected)
    return (
        expected < 0.9 and share <= expected and number(one) / number(of) == pytest.approx(share, rel=0.25, abs=0.001)
    )


def is_certainty(p, judgement, people, few, least, most):
    low, high = (float(p.community.bundle.scale.points(np.log(max(p.scored[end], 1e-9)))) for end in ("low", "high"))
    ends = [round(low), round(high)]
    words = "very uncertain" if high - low > 35 else "rough" if high - low > 15 else "fairly certain"
    stated = [int(least), int(most)] == ends if least else ends[0] == ends[1]
    return judgement == words and stated and is_interval(p, people or few) and p.scored["high"] > 1


def is_share(p, percent, words, sentence):
    """At most half of the active users have as much where it adds points, or half or more have more where it takes."""
    features = {
        "A response loses": "credible_engagers_decayed_28d",
        "A response that counts came": "responder_periods_168d",
        "No response that counts came": "responder_periods_168d",
        "This user's first": "tenure_days",
    }
    feature = next((name for start, name in features.items() if sentence.startswith(start)), "days_of_silence")
    feature = "credible_posts_90d" if " got " in sentence else feature
    active = p.community.active_scores(p.community.snapshot.baseline("all").active_days).index
    figures, own = (printed(feature, values) for values in (p.community.table.loc[active, feature], p.row[[feature]]))
    if feature == "days_of_silence":
        figures, own = -figures, -own
    as_much, more = (figures >= own.iloc[0]).mean() * 100, (figures > own.iloc[0]).mean() * 100
    stated, gains = int(percent), p.points_of([feature]) > 0
    right = re.fullmatch(AS_MUCH if gains else MORE_OF_OTHERS, words) is not None
    if gains:
        return right and stated <= 50 and 0 <= stated - as_much < 1 + 1e-6
    return right and stated >= 50 and 0 <= more - stated < 1 + 1e-6


def printed(feature, values):
    if feature == "days_of_silence":
        return values.where(values == 0, np.floor(28 + values))
    if feature == "tenure_days":
        return np.floor(values)
    return values.round(1).where(values < 0.95, np.floor(values + 0.5))


def is_responded(p, total, period, counts=None):
    """So many people responded, and so many of them count."""
    days, weight = p.days_of(period), p.row["credible_engagers_365d"]
    if days is None or number(total) != p.responders(days):
        return False
    return weight == 0 if counts is None else is_amount(counts, weight)


def is_nobody(p, who, period):
    days = p.days_of(period)
    if days is None:
        return False
    identified, anonymous = p.responders(days), p.anonymous(days)
    return identified == 0 and {"Nobody": anonymous == 0, "No known person": anonymous > 0}[who]


def is_last(p, who, when):
    """A response of half a member came then; who counts is the reference implementation's."""
    since = p.row["days_of_silence"]
    return 0 < since < 338 and long_ago(when, since + 28) and is_from(p, who, since + 28)


def is_recent(p, who, period):
    return p.row["days_of_silence"] == 0 and p.days_of(period) is not None and is_from(p, who, 28)


def is_from(p, who, days):
    """Somebody is named who counts in full for the time alone where nobody can have counted half then as a person."""
    lately = p.row["credible_engagers_decayed_28d"] >= 0.5 * 0.5 ** (days / 28) - 1e-6
    if p.row["credible_engagers_365d"] >= 0.5 and lately:
        return who is None
    exchanges = p.row["uncounted_exchange_365d"] > 0
    anonymous = p.anonymous(days + 1) > 0
    return anonymous if who == "anonymous" else who is not None and exchanges


def is_span(p, span):
    """The four-week periods are those of the last half year, or of a younger account."""
    young = p.first_seen() < 168
    if not young:
        return span == "the last six four-week periods"
    count = re.match(r"the (one|\d)", span)[1].replace("one", "1")
    return int(count) == math.ceil(p.first_seen() / 28) and p.days_of(span[span.index("begun ") + 6 :]) is not None


def is_periods(p, what, stated, span):
    """Periods with a response count together as so many, which is `about` that where it is no whole number."""
    value, most = p.row["responder_periods_168d"], min(math.ceil(p.first_seen() / 28), 6)
    in_words = {None: most, "each of ": most, "nearly all of ": most, "hardly any of ": 0.5}
    count = in_words[stated] if stated in in_words else int(re.search(r"\d", stated)[0])
    in_part = count == 0.5 or "about" in (stated or "") or "nearly" in (stated or "")
    near = abs(value - count) < (0.5 + 1e-9 if in_part else 0.06)
    anonymous = p.row["credible_engagers_365d"] == 0
    right = near and p.periods() >= value - 1e-6 and anonymous == what.lower().startswith("an anonymous")
    return right and is_span(p, span) and (stated is None) <= (most == 1)


def is_amount(text, value):
    """Say whether a weighted count in words is a value: from 1 on rounded, below to a tenth."""
    if text.startswith("about"):
        return about(text, value)
    if text.startswith("less than 0.1"):
        return 0 < value < 0.05
    return abs(float(text.split()[0]) - value) <= 0.05 + 1e-9 and value < 0.95


def is_who(p, responded, engaged, of_whom):
    """Those who engaged are stated where fewer than twenty responded, but twenty engaged."""
    few = p.responders(365) < 20 <= p.engagers(days=365)
    if engaged:
        return few and number(engaged) == p.engagers(days=365) and number(of_whom) == p.responders(365)
    return not few and number(responded) == p.responders(365)


def is_evidence(p, only, responded, engaged, of_whom, period):
    right = p.days_of(period) is not None and is_who(p, responded, engaged, of_whom)
    return right and (p.engagers(days=365) < 20) == bool(only) and p.row["credible_engagers_365d"] > 0


def is_remainder(p, others, parts=""):
    """What everything else adds is the sum of its parts, and each is what its features add that are no reasons."""
    stated = [feature for reason in p.reasons for feature in reason.features]
    rest = set(p.community.bundle.features) - set(stated)
    points = dict(re.fullmatch(r"(.+) ([+-][\d.]+)", part).groups() for part in re.findall(PART, parts))
    points = {name.removeprefix(", "): float(of_name) for name, of_name in points.items()}
    total = p.points_of(sorted(rest))
    right = abs(total - float(others)) <= 0.05 * (len(p.reasons) + 2) + 1e-6
    if parts and sum(points.values()) != pytest.approx(float(others)):
        return False
    of_names = {name: p.points_of(features_of(p, name, rest, points)) for name in points}
    return right and all(abs(of_names[name] - of_name) <= 0.15 for name, of_name in points.items())


def single_remainder(p, sentence, false):
    """Check the points of the one thing that is no reason, and return its sentence without them."""
    text, this_makes, ends = sentence.partition(" This makes")
    match = re.search(POINTS, text)
    if match is None or text.startswith(REST):
        return sentence
    if not is_remainder(p, match[1]):
        false.append(f"{p.user}: {text}")
    return f"{text[: match.start()]}.{this_makes}{ends}"


def features_of(p, name, rest, names):
    """Return the features of a subject of everything else; responses of others may include those of anybody."""
    anybody = p.community.bundle.bounded_features
    if name == "people who responded, established or not":
        return list(anybody)
    if name != "responses of others":
        return SUBJECTS[name]
    separate = "people who responded, established or not" in names
    of_responses = {feature for features in RESPONSES_OF.values() for feature in features}
    return sorted(rest & (of_responses | (set() if separate else set(anybody))))


def is_mostly(p, how, cause):
    """The cause has at least half of the points of the responses, rounded, and no other figure has as many."""
    total = next(p.points_of(reason.features) for reason in p.reasons if "responder_rate_365d" in reason.features)
    features = {**RESPONSES_OF, "anybody": list(p.community.bundle.bounded_features)}
    if p.row["credible_engagers_365d"] == 0:  # one sentence
        features["people"] = features["people"] + features.pop("lately")
    share = {name: p.points_of(of_name) / total for name, of_name in features.items()}
    name = CAUSES[cause]
    right = share[name] == max(share.values()) and share[name] >= 0.5 - 0.06 / abs(total)
    several = {np.sign(points) for points in share.values() if abs(points * total) >= 0.05} == {1.0, -1.0}
    return (
        right and (abs(total) >= 1.9 or several) and (how in ("how much", "how recent", "the number of")) == (total > 0)
    )


def is_own(p, after, before, others, **values):
    """Scores before and after have a decimal, without one after a gain of ten points or more.

    Other facts change with it where it visibly gains more or less than the table leads to expect.
    """
    gain, exact = p.gain(**values), p.scored["score"] + p.gain(**values)
    costs = [-p.points_of(reason.features) for reason in p.reasons if {*values} & {*reason.features}]
    difference = abs(max(p.unclipped + sum(costs), 0.0) - exact) if costs else 0.0
    right = difference >= 0.05 if others else difference <= 0.3  # the reasons have rounded points
    close = abs(exact - float(after)) <= (0.05 if gain < 9.95 else 0.5) + 1e-6
    return close and abs(p.scored["score"] - float(before)) <= 0.05 + 1e-6 and right


def is_fewer(p, count, number_of, why, in_full):
    """People count as so many fewer for a reason, and would add so many points in full."""
    kind = "returned" if "came back" in why else "exchange" if "this user" in why else "new"
    fewer = p.row[f"uncounted_{kind}_365d"]
    if kind == "returned" and fewer > p.returned():
        return False
    gain = p.least_gain(*(p.row[f"uncounted_{kind}_{days}d"] for days in (28, 365)))
    right = 0 <= gain - float(in_full) + 1e-6 < (1 if float(in_full) >= 10 else 0.1) if in_full else gain < 0.5
    if count == "person":
        return right and p.responders(365) == 1 and fewer > 0
    near = abs(number(number_of.removeprefix("about ")) - fewer) < (1 if number_of.startswith("about") else 0.11)
    of_all = "some of them" not in why
    return (
        right
        and near
        and of_all == (fewer > p.responders(365) - 1)
        and (count == "They" or number(count) == p.responders(365))
    )


def is_repeated(p, repeated, total):
    return number(repeated) == p.repeated() and (total is None or number(total) == len(p.posts()))


def is_reason(p, why):
    """It is the only reason why nobody counts."""
    kinds = {"new": WHY_NEW, "exchange": WHY_EXCHANGE, "returned": WHY_RETURNED}
    reasons = [text for kind, text in kinds.items() if p.row[f"uncounted_{kind}_365d"] > 0]
    return reasons == [why] if why else len(reasons) > 1


def is_enough(p, gained, count):
    """The number is the least of COUNTS that adds 5 points."""
    count = int(number(count))
    before = COUNTS[COUNTS.index(count) - 1] if count > 1 else 0
    enough = p.with_members(count) >= 5 > (p.with_members(before) if before else 0)
    return points(gained, p.with_members(count)) and enough


def is_too_little(p, acts, engagements, missing):
    engaging = p.received[~p.received["verb"].isin({"post", "view"})]
    counts = [int((rows["age"] <= 365).sum()) for rows in (p.own, engaging)]
    own = {0: "did nothing", 1: "acted once", 2: "acted 2 times"}[counts[0]]
    others = {0: "did not engage", 1: "engaged once", 2: "engaged 2 times"}[counts[1]]
    return [acts, engagements] == [own, others] and int(missing) == 3 - sum(counts) > 0


PATTERNS = {
    r"The influence score of (.+) is ([\d.]+) out of 100, as of (.+)\.": is_standing,
    rf"(The score is higher than|None of|At most {N[1:-1]} of|Fewer than 1% of|The score is higher than .+ of) the {N} "
    r"users active in "
    r"the last (.+?)(?: have a lower score| has a lower score)?(?:, but (below|above) their average of ([\d.]+))?\.": (
        is_rank
    ),
    r"The points below start from this average(, which a few high scores raise)?; all averages below are of these "
    r"users\.": (
        lambda p, raised: (
            f"{'below' if raised else 'above'} their average of" in next(iter(p.explained.story)).sentences[2]
        )
    ),
    r"The points below start from the average score of these users, ([\d.]+); all averages below are "
    r"theirs\.": is_start,
    r"It means that about (.+) (?:person is|people are) expected to engage with this user in the next 28 days\.": (
        is_expected
    ),
    rf"It means that, in the next 28 days, (?:about|fewer than) {N} in {N} users with similar figures will have "
    r"somebody engage with them\.": is_chance,
    r"A score 10 points higher stands for ([\d.]+) times as many people\.": lambda p, times: p.is_scale(times),
    rf"{N} people responded {PERIOD} and together count as {MEMBERS}\.": is_responded,
    rf"{N} person responded {PERIOD}, who counts as {MEMBERS}\.": is_responded,
    rf"{N} person responded {PERIOD}, who counts as an established member\.": lambda p, total, period: (
        p.row["credible_engagers_365d"] >= 0.95 and is_responded(p, total, period, "about 1")
    ),
    rf"No person who counts responded {PERIOD}; {N} did who do(?:es)? not"
    rf"(?:, because ({WHY_NEW}|{WHY_EXCHANGE}|{WHY_RETURNED}))?\.": lambda p, period, total, why: (
        is_responded(p, total, period) and is_reason(p, why)
    ),
    rf"(Nobody|No known person) responded {PERIOD}(?:, only anonymous ones)?\.": is_nobody,
    rf"Nobody with a known id whose response counts responded in {WINDOW}\.": lambda p, days: (
        p.row[f"credible_engagers_{window(days)}d"] == 0
    ),
    rf"A response loses half of its weight every four weeks, so the responses now count as {MEMBERS}\.": (
        lambda p, counted: is_amount(counted, p.row["credible_engagers_decayed_28d"])
    ),
    r"(A response that counts|An anonymous response) came in (?:only )?"
    rf"((?:each|nearly all|(?:about )?\d|hardly any) of )?{SPAN}\.": is_periods,
    rf"(A response that counts|An anonymous response) came in (hardly any of ){SPAN}{APART}\.": lambda p, *stated: (
        p.row["uncounted_exchange_365d"] > 0 and is_periods(p, *stated)
    ),
    rf"No response that counts came (?:in the last six four-week periods|{SINCE})({APART})?\.": lambda p, who: (
        p.row["responder_periods_168d"] == 0 and bool(who) == (p.row["uncounted_exchange_365d"] > 0)
    ),
    rf"(?:Only )?([Aa]bout )?([\d,]+) posts? got engagement that counts {PERIOD}\.": lambda p, is_about, count, days: (
        p.days_of(days) is not None
        and about(f"about {count}", p.row["credible_posts_90d"])
        and bool(is_about) == (abs(p.row["credible_posts_90d"] - number(count)) >= 0.05)
    ),
    rf"Posts got hardly any engagement that counts {PERIOD}, together ([\d.]+) of a post\.": (
        lambda p, period, amount: p.days_of(period) is not None and is_amount(amount, p.row["credible_posts_90d"])
    ),
    rf"Posts got almost no engagement that counts {PERIOD}\.": lambda p, period: (
        p.days_of(period) is not None and 0 < p.row["credible_posts_90d"] < 0.05
    ),
    rf"No post got engagement that counts {PERIOD}\.": lambda p, period: (
        p.days_of(period) is not None and p.row["credible_posts_90d"] == 0
    ),
    rf"Somebody (?:{HALF}|(anonymous|anonymous, or with whom this user exchanges responses,)) last responded {AGO}\.": (
        is_last
    ),
    rf"Somebody (?:{HALF}|(anonymous|anonymous, or with whom this user exchanges responses,)) responded {PERIOD}\.": (
        is_recent
    ),
    rf"(?:Established or not, {N} (?:people|person)|No person) responded {PERIOD}; that alone moves a score by {P} at "
    r"most\.": (
        lambda p, total, period, most: (
            p.days_of(period) is not None
            and number(total or "0") == p.responders(365)
            and p.most_from_anybody() <= float(most) < p.most_from_anybody() + 0.1 + 1e-9
        )
    ),
    rf"Nobody {HALF} responded {PERIOD}\.": lambda p, period: (
        p.days_of(period) is not None and p.row["days_of_silence"] == 338
    ),
    rf"This user was last active {AGO}\.": lambda p, ago: (
        long_ago(ago, p.own["age"].min()) and p.row["days_of_absence"] == p.posts_beyond()
    ),
    rf"This user was last active {AGO}; after {N} days? away the score begins to fall\.": lambda p, ago, allowed: (
        long_ago(ago, p.own["age"].min())
        and about(allowed, p.own["age"].min() - p.row["days_of_absence"] + p.posts_beyond())
    ),
    rf"This user was last active .*\. The user posted {N} times in 90 days with few responses that count, which counts "
    rf"like {N} days? of absence\.": lambda p, posted, beyond: (
        number(posted) == p.row["created_90d"] and about(beyond, p.posts_beyond())
    ),
    rf"This user has never been active; others first engaged with them {AGO}\.": lambda p, ago: (
        p.own.empty and long_ago(ago, p.received["age"].max())
    ),
    rf"This user's first activity was {AGO}\.": lambda p, ago: long_ago(ago, p.own["age"].max()),
    rf"{N}(?: of {N})? posts {PERIOD} repeat an earlier one of this user; the first 10 repeats cost nothing\.": (
        lambda p, repeated, total, period: (
            p.days_of(period) is not None and number(repeated) > 10 and is_repeated(p, repeated, total)
        )
    ),
    r"At most 10 posts of the last 90 days are known to repeat an earlier one of this user\.": lambda p: (
        p.repeated() <= 10
    ),
    rf"(?:The )?({N[1:-1]}|They)(?: people who responded)? count as (about [\d,]+|[\d.]+) fewer because "
    r"(some of them are people to whom hardly any established member responds|hardly any established member responds "
    r"to them|this user responds to (?:some of )?them as well|(?:they|some of them) "
    rf"{RETURNED})(?:; {IN_FULL})?\.": (is_fewer),
    rf"If those who responded counted in full, the score would be at least {P} higher\.": lambda p, in_full: any(
        p.row[f"uncounted_{kind}_365d"] == p.responders(365) and is_fewer(p, *said)
        for kind, said in {
            "new": ("They", str(p.responders(365)), WHY_NEW, in_full),
            "exchange": ("They", str(p.responders(365)), WHY_EXCHANGE, in_full),
            "returned": ("They", str(p.responders(365)), WHY_RETURNED, in_full),
        }.items()
    ),
    rf"The (person) who responded does not count( in full)? because ({WHY_NEW}|{WHY_EXCHANGE}|{WHY_RETURNED})"
    rf"(?:; {IN_FULL})?\.": lambda p, person, in_part, *stated: (
        is_fewer(p, person, "", *stated) and (p.row["credible_engagers_365d"] > 0) == bool(in_part)
    ),
    rf"The score rests on (only )?{WHO} {PERIOD}\.": is_evidence,
    rf"The score rests on other users with similar figures: no person( who counts)? has responded {PERIOD}\.": (
        lambda p, some, period: (
            p.days_of(period) is not None
            and p.row["credible_engagers_365d"] == 0
            and bool(some) == (p.responders(365) > 0)
        )
    ),
    r"As soon as this user does anything again, such as posting or voting, the score would be about ([\d.]+?) instead "
    rf"of ([\d.]+?){OTHERS_CHANGE}\.": lambda p, *stated: is_own(p, *stated, days_of_absence=p.posts_beyond()),
    r"With at most 1,000 posts in 90 days, or 1,000 more for each responder who counts, the score would be about "
    rf"([\d.]+?) instead of ([\d.]+?){OTHERS_CHANGE}\.": lambda p, *stated: is_own(
        p, *stated, days_of_absence=p.row["days_of_absence"] - p.posts_beyond()
    ),
    r"If the repeats stop, the score would be about ([\d.]+?) instead of ([\d.]+?) once they are 90 days "
    rf"old{OTHERS_CHANGE}\.": (lambda p, *stated: is_own(p, *stated, repetitions_beyond_10_90d=0.0)),
    r"The prediction is (fairly certain|rough|very uncertain): for 9 in 10 users with similar figures, "
    r"(?:(.+) people engage|(1 person) engages) in the next 28 days(?:, which would be a score of (\d+) to (\d+))?"
    r"\.": is_certainty,
    r"Very probably, (nobody or 1 person|1 person|nobody) engages in the next 28 days; this is true of at least 9 in "
    r"10 users with similar figures\.": lambda p, few: p.scored["high"] <= 1 and is_interval(p, few),
    rf"(?:{OPENING}) score would rise by about {P} if {MORE}\.": is_enough,
    rf"(?:{OPENING}) score would rise by only about {P} even if {MORE}\.": (
        lambda p, gained, count: (
            is_enough(p, gained, count)
            if p.with_members(number(count)) >= 5
            else points(gained, p.with_members(number(count)))
            and 0.9 * p.with_members(1_000) <= p.with_members(number(count)) < 5
            and p.with_members(1_000) < 5
        )
    ),
    r"Hardly anything would raise the score: even many more responses would not\.": lambda p: (
        p.with_members(1_000) < 0.5
    ),
    rf"The score (?:can rise by {P} at most|cannot rise): 100 is the highest\.": lambda p, room: points(
        room or "0", 100 - p.scored["score"]
    ),
    rf"After {N} days without any activity the score would be about {P} lower, even if others kept responding as "
    r"before\.": (
        lambda p, days, lost: (
            abs(p.absence_after(number(days)) - (p.row["days_of_absence"] - p.posts_beyond()) - 28) < 1.5
            and points(lost, -p.gain(days_of_absence=p.row["days_of_absence"] + 28))
        )
    ),
    rf"{REST} \(({PART}(?:, {PART})+)\): ([+-][\d.]+) points\.": lambda p, parts, sum_: is_remainder(p, sum_, parts),
    rf"{REST} \(people who responded, established or not\): ([+-][\d.]+) points\.": is_remainder,
    r"Most of the points come from (how much|how little|how recent|how old|the number of|the small number of) (.+)\.": (
        is_mostly
    ),
    r"This makes (-?[\d.]+), but scores end at (0|100)\.": lambda p, sum_, end: (
        abs(p.unclipped - float(sum_)) <= 0.05 + 1e-6 and p.scored["score"] == float(end)
    ),
    re.escape(ENGAGING): lambda _: True,
    re.escape(COUNTS_HALF): lambda p: "who counts much" in str(p.explained.story[:-1]),
    re.escape(ANONYMOUS): lambda p: (
        "nonymous" in " ".join(s for part in p.explained.story[:-1] for s in part.sentences)
    ),
    re.escape(ESTABLISHED.format(time="for half a year")): lambda p: p.community.events["age"].max() >= 360,
    r"(.+) has no score as of .+\.": lambda p, user: user == p.user,
    r"Too little is known for a score: in the last year this user (.+), and others (.+)\. "
    r"It takes 3 events, so (\d) more\.": is_too_little,
}


def test_every_sentence_is_true(community):
    matched, false = Counter(), []
    for user in dict.fromkeys([*community.sample(), *community.answered_by_returned()]):
        person = Person(community, user)
        for section in person.explained.story:
            for sentence in section.sentences:
                if section.topic == "rest":
                    sentence = single_remainder(person, sentence, false)
                if section.topic in ("for", "against"):
                    match = re.search(POINTS, sentence)
                    stated, sentence = float(match[1]), f"{sentence[: match.start()].removesuffix('. Together')}."
                    (reason,) = [r for r in person.reasons if APPEARED.sub("", r.sentence) == IN_TIME.sub("", sentence)]
                    assert person.points_of(reason.features) == pytest.approx(stated, abs=0.1 + 1e-6)
                    assert (stated > 0) == (section.topic == "for")
                sentence = re.sub(AVERAGE, "", sentence)
                for part in SENTENCES_OF_RESPONSES.split(sentence):
                    if share := SHARE.search(part):
                        part = part.replace(share[0], "")
                        matched["share"] += 1
                        if not is_share(person, *share.groups(), part):
                            false.append(f"{user}: {part} {share[0]}")
                    matches = [(p, m) for p in PATTERNS if (m := re.fullmatch(p, part))]
                    assert len(matches) == 1, f"{len(matches)} patterns match: {part}"
                    ((pattern, match),) = matches
                    matched[pattern] += 1
                    if not PATTERNS[pattern](person, *match.groups()):
                        false.append(f"{user}: {part}")
    assert not false, "\n".join(false)
    assert len(matched) > 20, matched
    assert sum(matched.values()) > 5 * USERS


def test_intervals_and_chances_hold_for_the_users_they_describe(community):
    """Nine of ten users get what their interval says, and as many as the chance says see anybody, of either half."""
    scores = community.scores
    audience = community.audience.reindex(scores.index).fillna(0)
    assert ((scores["low"] <= audience) & (audience <= scores["high"])).mean() > 0.85
    unlikely = scores["expected_audience"].loc[lambda expected: expected < 0.9].sort_values()
    for half in (unlikely.iloc[: len(unlikely) // 2], unlikely.iloc[len(unlikely) // 2 :]):
        anybody, chance = (audience[half.index] >= 1).sum(), community.bundle.chance.of(half.to_numpy()).sum()
        assert abs(anybody - chance) <= 0.3 * chance + 3 * math.sqrt(chance)


def test_a_plain_story_has_ten_lines_for_every_kind_of_user(community):
    """It holds the strongest fact, how sure the score is and what would change it, in full sentences."""
    for user in community.sample():
        explained = community.snapshot.explain(user)
        paragraphs = brief(explained)
        assert sum(len(wrap(paragraph, 80)) for paragraph in paragraphs) <= 10, paragraphs
        if explained.missing is not None:
            continue
        text = " ".join(paragraphs)
        assert explained.possible_changes[0].sentence in text
        assert re.search(CERTAINTY, text)
        assert re.search(r" active users (has|have) a lower score\.|The score is higher than", text), text
        assert bool(explained.main_facts) == bool(re.search("What (raises|lowers) it most: ", text))


def test_stories_repeat_nothing_and_mention_people(community):
    """No sentence and no fact twice, rank and people first, a chance below one person, always what would change it."""
    for user in community.sample():
        explained = community.snapshot.explain(user)
        story = {section.topic: section.sentences for section in explained.story}
        sentences = [sentence for texts in story.values() for sentence in texts]
        assert len(set(sentences)) == len(sentences), sentences
        if explained.missing is not None:
            continue
        others = [fact.pointed for fact in explained.facts if not fact.is_distinct and abs(fact.points) >= 2]
        assert not others, f"{user}: {others}, {[fact.sentence for fact in explained.main_facts]}"
        facts = [feature for reason in explained.reasons for feature in reason.features]
        assert len(set(facts)) == len(facts)
        standing, expectation, rank, *_ = story["score"]
        assert "out of 100" in standing
        assert "active" in rank
        assert ("will have somebody engage" in expectation) == (explained.expected_audience < 0.9)
        assert explained.percentile == community.scores.loc[user, "percentile"]
        assert len(story["change"]) >= 1
        assert "What would change it, by the model's estimate" in [section.title for section in explained.story]
        by_others = [change for change in explained.possible_changes if change.kind == "responses"]
        gains = sum(change.points for change in explained.possible_changes if change.kind != "responses")
        assert by_others or gains >= 5
