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

import pandas as pd
import pytest

from features.events.loading import load_encoded_events, resolve_as_of
from features.simulation import Community, simulate
from serving.scoring import score_users
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.config import Config, Model
from training.dataset.labels import audience_label
from training.dataset.panel import Split, build_panel
from training.explanation.ledger import contributions
from training.explanation.reasons import subject
from training.fit import fit
from training.home import Home
from training.model.feature_sets import panel_features

ROOT = Path(__file__).parents[3]
RESPONSES = {"reply", "mention", "repost", "quote", "like"}
HORIZON = timedelta(days=28)
USERS = 200
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

    def more(self, recent, year):
        """Return the features if more established people had responded, spread over the last 28 days."""
        row = self.row
        return {
            "credible_engagers_decayed_28d": row["credible_engagers_decayed_28d"] + recent * math.sqrt(0.5),
            "credible_rate_365d": row["credible_rate_365d"] + year * 28 / min(max(row["account_age_days"], 28), 365),
        }

    def with_members(self, count):
        posts = self.row["credible_posts_90d"] + count
        return self.gain(**self.more(count, count), days_without_established=0.0, credible_posts_90d=posts)

    def anonymous(self, days):
        """Return how many responses of some days have no known actor."""
        rows = self.community.anonymous.get(self.user)
        return 0 if rows is None else int((rows["age"] <= days).sum())

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
    return number(count) == math.floor(days / {"day": 1, "year": 365}[unit])


def points(text, value):
    """Say whether a number of points in words is a value, rounded, without decimals from 10 on."""
    half = 0.5 if float(text) >= 10 and "." not in text else 0.05
    return abs(float(text) - value) <= half + 1e-6


N = r"([\d,]+)"
MEMBERS = r"(about [\d,]+ established members?|less than half an established member)"
AGO = r"(less than a day ago|[\d,]+ days? ago|more than [\d,]+ years? ago)"
P = r"([\d.]+) points?"
WINDOW = r"the last (\d+ days|year)"
COUNTED = rf"Counted in full, they would add about {P}\."
MORE = (
    rf"if {N} more established members? responded within four weeks(?:, each to another post)?, (?:it|the score) would "
    rf"be about {P} higher"
)


def window(text):
    return 365 if text == "year" else int(text.split()[0])


def is_standing(p, user, score, below, day):
    share = (p.community.scores["score"] < p.scored["score"] - 1e-9).mean() * 100
    shares = {"and no user has fewer": share == 0, "and less than 1% of users have fewer": 0 < share < 1}
    if below not in shares:
        shown = re.fullmatch(r"more than ([\d.]+)% of users", below)[1]
        shares[below] = 0 <= share - float(shown) < (0.1 if "." in shown else 1) + 1e-9
    return user == p.user and abs(float(score) - p.scored["score"]) <= 0.05 + 1e-9 and shares[below] and len(day) == 10


def is_interval(p, level, interval):
    low, high = p.scored["low"], p.scored["high"]
    ends = {"nobody": (0, 0)}.get(interval) or tuple(int(number(n)) for n in re.findall(N, interval))
    return level == "90" and ends in {(low, high), (low,) if low == high else None}


def is_expected(p, count, level, interval):
    return about(count, max(p.scored["expected_audience"], 1.0)) and is_interval(p, level, interval)


def is_chance(p, one, of, level, interval):
    chance, expected = number(one) / number(of), p.scored["expected_audience"]
    return (
        expected < 1
        and is_interval(p, level, interval)
        and (abs(chance - expected) <= 0.05 + 1e-9 if of == "10" and one != "1" else abs(chance / expected - 1) < 0.2)
    )


def is_responded(p, count, days, members=None):
    weight = p.row[f"credible_engagers_{window(days)}d"]
    return number(count) == p.responders(window(days)) and (about(members, weight) if members else weight == 0)


def is_responded_since(p, count, days, members):
    """All responses are of these days, the account's."""
    return is_responded(p, count, "year", members) and number(days) == max(math.floor(p.first_seen()), 1) <= 365


def is_nobody(p, who, days):
    identified, anonymous = p.responders(window(days)), p.anonymous(window(days))
    return identified == 0 and {"Nobody": anonymous == 0, "Only people without a known id": anonymous > 0}[who]


def is_evidence(p, count, period):
    """The people are those of the last year, or of a younger account's days."""
    young = re.fullmatch(rf"the {N} days? since this user was first seen", period)
    span = number(young[1]) == max(math.floor(p.first_seen()), 1) <= 365 if young else p.first_seen() >= 365
    return span and number(count) == p.engagers(days=365)


def is_repeated(p, repeated, total):
    return number(repeated) == p.repeated() and (total is None or number(total) == len(p.posts()))


def is_uncounted(p, fewer, why, gained):
    kind = "new" if why.startswith("few") else "exchange"
    recent, year = (p.row[f"uncounted_{kind}_{days}d"] for days in (28, 365))
    fewer_people = year < 0.5 if fewer == "slightly fewer people" else about(fewer, year)
    return fewer_people and points(gained, p.gain(**p.more(recent, year)))


def is_enough(p, count, gained):
    """The number is the least of COUNTS that adds 5 points."""
    count = int(number(count))
    before = COUNTS[COUNTS.index(count) - 1] if count > 1 else 0
    return points(gained, p.with_members(count)) and p.with_members(count) >= 5 > (
        p.with_members(before) if before else 0
    )


def is_from_anybody(p, direction, added, most):
    bundle, baseline = p.community.bundle, p.community.snapshot.baseline("all")
    moved = contributions(bundle, p.row.to_frame().T, baseline)[bundle.bounded_features].sum(axis=1).iloc[0]
    width = 2 * bundle.bounded.limit * bundle.scale.points_per_nat
    return (direction == "adds") == (moved > 0) and points(added, abs(moved)) and points(most, width)


def is_too_little(p, acts, engagements, missing):
    engaging = p.received[~p.received["verb"].isin({"post", "view"})]
    counts = [int((rows["age"] <= 365).sum()) for rows in (p.own, engaging)]
    own = {0: "did nothing", 1: "acted once", 2: "acted 2 times"}[counts[0]]
    others = {0: "did not engage", 1: "engaged once", 2: "engaged 2 times"}[counts[1]]
    return [acts, engagements] == [own, others] and int(missing) == 3 - sum(counts) > 0


PATTERNS = {
    r"(.+) has ([\d.]+) of 100 points, (.+), as of (.+)\.": is_standing,
    r"About (.+) (?:person is|different people are) expected to engage with this user in the next 28 days; (\d+)% of "
    r"users like this one hear from (.+?)(?: people| person)?\.": is_expected,
    rf"The chance that anybody engages with this user in the next 28 days is at most about {N} in {N}; (\d+)% of users "
    r"like this one hear from (.+?)(?: people| person)?\.": is_chance,
    rf"{N} (?:people|person) responded in {WINDOW} and counts? (?:together )?as {MEMBERS}\.": is_responded,
    rf"{N} (?:people|person) responded in the {N} days? since this user was first seen and counts? (?:together )?as "
    rf"{MEMBERS}\.": is_responded_since,
    rf"{N} (?:people|person) responded in {WINDOW}, but (?:none of them counts|does not count) as an established "
    r"member\.": is_responded,
    rf"(Nobody|Only people without a known id) responded in {WINDOW}\.": is_nobody,
    rf"Nobody with a known id whose response counts responded in {WINDOW}\.": lambda p, days: (
        p.row[f"credible_engagers_{window(days)}d"] == 0
    ),
    rf"Counting recent responses most, those who responded add up to {MEMBERS}\.": (
        lambda p, members: about(members, p.row["credible_engagers_decayed_28d"])
    ),
    r"In (each|about \d) of the last six four-week periods a response came that counts\.": lambda p, periods: (
        p.row["credible_periods_168d"] > 5.95 if periods == "each" else about(periods, p.row["credible_periods_168d"])
    ),
    r"The responses of the last six four-week periods count for little\.": lambda p: (
        0 < p.row["credible_periods_168d"] < 0.5
    ),
    r"No response of the last six four-week periods counts\.": lambda p: p.row["credible_periods_168d"] == 0,
    r"In the last 90 days about ([\d,]+) posts? drew responses that count \(a known person counts for one at most"
    r"\)\.": lambda p, count: about(f"about {count}", p.row["credible_posts_90d"]),
    r"Hardly any response to a post in the last 90 days counts\.": lambda p: 0 < p.row["credible_posts_90d"] < 0.5,
    r"No post drew a response that counts in the last 90 days\.": lambda p: p.row["credible_posts_90d"] == 0,
    rf"The last response that counts as an established member's came {AGO}\.": lambda p, ago: long_ago(
        ago, p.row["days_without_established"] + 28
    ),
    r"A response that counts as an established member's came in the last 28 days\.": lambda p: (
        p.row["days_without_established"] == 0 and p.last_response() <= 28
    ),
    r"No response of the last year counts as an established member's\.": lambda p: math.isnan(
        p.row["days_without_established"]
    ),
    rf"Last active {AGO}\.": lambda p, ago: (
        long_ago(ago, p.own["age"].min()) and p.row["days_of_absence"] == p.posts_beyond()
    ),
    rf"Last active {AGO}; after {N} days? away the score begins to fall\.": lambda p, ago, allowed: (
        long_ago(ago, p.own["age"].min())
        and about(allowed, p.own["age"].min() - p.row["days_of_absence"] + p.posts_beyond())
    ),
    rf"Last active .*\. The user posted {N} times in 90 days with few responses that count, which counts like "
    rf"{N} days? of absence\.": lambda p, posted, beyond: (
        number(posted) == p.row["created_90d"] and about(beyond, p.posts_beyond())
    ),
    rf"Never active so far; first seen {AGO}\.": lambda p, ago: p.own.empty and long_ago(ago, p.received["age"].max()),
    r"Never active so far\.": lambda p: p.own.empty,
    rf"First active {AGO}\.": lambda p, ago: long_ago(ago, p.own["age"].max()),
    rf"{N}(?: of {N})? posts of the last 90 days repeat an earlier one; the first 5 do not lower the score\.": (
        lambda p, repeated, total: number(repeated) > 5 and is_repeated(p, repeated, total)
    ),
    r"No more than 5 posts of the last 90 days are known to repeat an earlier one\.": lambda p: p.repeated() <= 5,
    rf"Counting responses from anybody, established or not, (adds|takes) {P}; such responses can move a score by {P} "
    r"at most\.": is_from_anybody,
    rf"Those who responded in the last year count as (slightly fewer people|about {N} (?:people|person) fewer) than "
    rf"they are, because (.+)\. {COUNTED}": lambda p, fewer, _, why, gained: is_uncounted(p, fewer, why, gained),
    rf"The evidence is strong: {N} people engaged with this user in (.+)\.": lambda p, count, period: (
        is_evidence(p, count, period) and p.engagers(days=365) >= 20
    ),
    rf"There is only some evidence: {N} (?:people|person) engaged with this user in (.+), so a few more or fewer make "
    r"a difference\.": lambda p, count, period: is_evidence(p, count, period) and p.engagers(days=365) < 20,
    r"There is little evidence: nobody with a known id engaged with this user in (.+)\.": lambda p, period: is_evidence(
        p, "0", period
    ),
    rf"Being active again would add about {P}\.": lambda p, gained: points(gained, p.gain(days_of_absence=0.0)),
    rf"Without so many repeated posts the score would be about {P} higher\.": lambda p, gained: points(
        gained, p.gain(excess_repetitions_90d=0.0)
    ),
    rf"(?:Responses|Apart from that, responses) from others would raise the score: {MORE}\.": is_enough,
    rf"(?:Even|Apart from that, even) many more responses would add less than 5 points: {MORE}\.": (
        lambda p, count, gained: (
            points(gained, p.with_members(number(count)))
            and 0.9 * p.with_members(1_000) <= p.with_members(number(count)) < 5
            and p.with_members(1_000) < 5
        )
    ),
    r"Hardly anything would raise the score: even many more responses would not\.": lambda p: (
        p.with_members(1_000) < 0.5
    ),
    r"Nothing can add 5 points: the score is close to 100, the most\.": lambda p: p.scored["score"] > 95,
    r"This is the model's estimate, not a promise: the parts of a score affect each other, so it can differ from the "
    r"points of a part\.": lambda _: True,
    r"To respond is to reply, mention, like, repost or quote; to engage is to respond, or to follow, dislike, flag, "
    r"unfollow or block\.": lambda _: True,
    r"Where recent responses count most, a person counts half four weeks after the last response\.": lambda _: True,
    r"An established member is somebody to whom long-standing users respond\. Newer people, and people who answer each "
    r"other, count in part\.": lambda _: True,
    r"(.+) has no score as of .+\.": lambda p, user: user == p.user,
    r"Too little is known for a score: in the last year this user (.+), and others (.+)\. "
    r"It takes 3 events, so (\d) more\.": is_too_little,
}


def test_every_sentence_is_true(community):
    matched, false = Counter(), []
    for user in community.sample():
        person = Person(community, user)
        for section in community.snapshot.explain(user).story:
            for sentence in section.sentences:
                matches = [(p, m) for p in PATTERNS if (m := re.fullmatch(p, sentence))]
                assert len(matches) == 1, f"{len(matches)} patterns match: {sentence}"
                ((pattern, match),) = matches
                matched[pattern] += 1
                if not PATTERNS[pattern](person, *match.groups()):
                    false.append(f"{user}: {sentence}")
    assert not false, "\n".join(false)
    assert len(matched) > 20, matched
    assert sum(matched.values()) > 5 * USERS


def test_intervals_and_chances_hold_for_the_users_they_speak_of(community):
    """Nine of ten users get what their interval says, and no more users than the chance says get anybody."""
    scores = community.scores
    audience = community.audience.reindex(scores.index).fillna(0)
    assert ((scores["low"] <= audience) & (audience <= scores["high"])).mean() > 0.85
    unlikely = scores["expected_audience"] < 1
    anybody, chance = (audience[unlikely] >= 1).sum(), scores.loc[unlikely, "expected_audience"].sum()
    assert anybody <= chance + 3 * math.sqrt(chance)


def test_stories_repeat_nothing_and_speak_of_people(community):
    """No sentence and no fact twice, rank and people first, a chance below one person, always what would change it."""
    for user in community.sample():
        explained = community.snapshot.explain(user)
        story = {section.topic: section.sentences for section in explained.story}
        sentences = [sentence for texts in story.values() for sentence in texts]
        assert len(set(sentences)) == len(sentences), sentences
        if explained.missing is not None:
            continue
        facts = [subject(feature) for reason in explained.reasons for feature in reason.features]
        assert len(set(facts)) == len(facts)
        standing, expectation = story["score"]
        assert "of 100 points, " in standing
        assert expectation.startswith("The chance") == (explained.expected_audience < 0.95)
        assert explained.percentile == community.scores.loc[user, "percentile"]
        assert len(story["change"]) >= 2
        assert "What would change it" in [section.title for section in explained.story]
        by_others = [change for change in explained.possible_changes if change.kind == "responses"]
        gains = sum(change.points for change in explained.possible_changes if change.kind != "responses")
        assert by_others or gains >= 5
