import math
from collections import Counter, defaultdict
from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from features.errors import AsOfError, EventsError
from features.events import VERBS, connect, open_events
from features.table import KEYS, checked_as_of, feature_table

SECOND = 1 / 86_400
MICROSECOND = timedelta(microseconds=1)
PEOPLE = st.sampled_from(["ann", "bob", "çelik 🙂", "d'Arc", "", None])
EDGES = [SECOND, 1, 7, 7 + SECOND, 28, 28 + SECOND, 84, 90, 168, 364, 365, 365 + SECOND]
AGES = st.sampled_from(EDGES) | st.integers(1, 400 * 86_400).map(lambda seconds: seconds * SECOND)
ACTS = st.lists(
    st.tuples(AGES, PEOPLE, st.sampled_from(VERBS), PEOPLE, st.sampled_from(["o1", "o2", None])),
    min_size=1,
    max_size=60,
)
ENGAGEMENT = {"reply", "repost", "quote", "like", "mention", "follow", "unfollow", "dislike", "flag", "block"}
SOME = settings(max_examples=7)


def computed(table, as_of) -> pa.Table:
    return feature_table(table, as_of).to_pyarrow()


@pytest.fixture(scope="module")
def quick(table, as_of):
    """Compute features of many tables at one instant: the expression is compiled once."""
    connection = connect()
    expression = feature_table(connection.create_table("acts", table([])), as_of)
    query = connection.compile(expression)

    def compute(acts) -> pa.Table:
        connection.create_table("acts", table(acts), overwrite=True)
        return connection.raw_sql(query).to_arrow_table()

    return compute


def content(rows: pa.Table) -> list[bytes]:
    """The bytes of all values, and which are null: two tables that differ in one bit differ here."""
    keys = str([rows[name].to_pylist() for name in KEYS]).encode()
    nulls = [rows[name].is_null().to_numpy().tobytes() for name in CATALOGUE.names]
    return [keys, *nulls, *(rows[name].fill_null(0.0).to_numpy().tobytes() for name in CATALOGUE.names)]


def by_user(rows: pa.Table) -> dict[str, dict]:
    return {row["user"]: row for row in rows.to_pylist()}


class TestNoLeak:
    @SOME
    @given(acts=ACTS, later=ACTS)
    def test_what_happens_at_or_after_the_instant_changes_nothing(self, quick, acts, later):
        known = quick(acts)
        absurd = [(-act[0] if k else 0, *act[1:]) for k, act in enumerate(later * 3)]
        absurd += [(0, f"new{k}", "follow", act[1]) for k, act in enumerate(acts)]
        assert content(quick(absurd + acts)) == content(known)

    def test_the_instant_itself_is_after_and_the_last_microsecond_before(self, table, as_of):
        acts = table([(0, "ann", "like", "bob")])
        assert computed(acts, as_of).num_rows == 0
        assert computed(acts, as_of + MICROSECOND).num_rows == 2


class TestOrder:
    @SOME
    @given(acts=ACTS, order=st.randoms(use_true_random=False))
    def test_rows_in_any_order_give_the_same_bytes(self, quick, acts, order):
        shuffled = order.sample(acts, len(acts))
        assert content(quick(shuffled)) == content(quick(acts))

    def test_a_bigger_table_gives_the_same_bytes_too(self, quick):
        acts = [
            (1 + k % 399, f"u{k * k % 97}", VERBS[k % len(VERBS)], f"u{k % 89}", f"o{k % 50}") for k in range(20_000)
        ]
        assert content(quick(acts)) == content(quick(acts[::-1]))

    def test_rows_come_by_user(self, features_of):
        acts = [(1, name, "post", None) for name in ("b", "a", "C", "ä", "")]
        assert list(features_of(acts)) == sorted(["b", "a", "C", "ä", ""])


class TestSelfAndUnknown:
    @SOME
    @given(acts=ACTS)
    def test_acts_on_oneself_never_count_as_engagement(self, quick, acts):
        others = [act for act in acts if act[1] is None or act[1] != act[3]]
        own = {feature.name for feature in CATALOGUE.over("days")} | {"account_age_days", "engagers_per_piece_90d"}
        every, without = by_user(quick(acts)), by_user(quick(others))
        for user, row in without.items():
            assert {n: every[user][n] for n in row if n not in own} == {n: row[n] for n in row if n not in own}

    @SOME
    @given(acts=ACTS)
    def test_unknown_actors_count_as_engagement_and_never_as_people(self, quick, acts):
        named = [act for act in acts if act[1] is not None] or [(1, "ann", "like", "bob", None)]
        unknown = [(act[0], None, "like", "bob", None) for act in acts]
        before, after = by_user(quick(named)), by_user(quick(named + unknown))
        for name in ("pace_28d", *(name for name in CATALOGUE.names if "engagers" in name), "followers"):
            for user in before:
                assert after[user][name] == before[user][name]
        soon = [act for act in unknown if act[0] <= 365]
        if soon:
            had = before["bob"]["engagements_365d"] if "bob" in before else 0
            assert after["bob"]["engagements_365d"] == had + len(soon)


class TestPopulation:
    @SOME
    @given(acts=ACTS)
    def test_one_row_for_exactly_those_seen_within_a_year(self, quick, acts):
        rows = quick(acts)
        year = [act for act in acts if act[0] < 365 + SECOND / 2]
        acting = {act[1] for act in year}
        engaged = {act[3] for act in year if act[2] in ENGAGEMENT and act[1] != act[3]}
        assert rows["user"].to_pylist() == sorted((acting | engaged) - {None})
        assert set(rows["scope"].to_pylist()) <= {"all"}

    def test_one_person_alone(self, features_of):
        (row,) = features_of([(1, "ann", "post", None), (1, "ann", "like", "ann")]).values()
        assert (row["engagers_ever"], row["created_7d"], row["acts_365d"]) == (0, 1, 2)

    def test_seen_by_a_view_alone_is_not_engaged_with(self, features_of):
        assert list(features_of([(1, "ann", "view", "bob")])) == ["ann"]

    def test_columns(self, table, as_of):
        rows = computed(table([(1, "ann", "like", "bob")]), as_of)
        assert rows.column_names == [*KEYS, *CATALOGUE.names]
        assert {str(rows.schema.field(name).type) for name in CATALOGUE.names} == {"double"}

    def test_the_engine_itself_holds_doubles(self, quick):
        schema = quick([(1, "ann", "like", "bob")]).schema
        assert {str(schema.field(name).type) for name in CATALOGUE.names} == {"double"}

    def test_no_events_give_no_rows_and_all_columns(self, table, as_of):
        rows = computed(table([(1, "ann", "like", "bob")]).slice(0, 0), as_of)
        assert (rows.num_rows, rows.column_names) == (0, [*KEYS, *CATALOGUE.names])

    def test_a_row_without_a_time_is_known_at_no_instant(self, table, as_of):
        rows = [*table([(1, "ann", "like", "bob")]).to_pylist(), {"actor": "eve", "verb": "like", "target": "bob"}]
        events = pa.Table.from_pylist(rows, schema=table([]).schema)
        assert computed(events, as_of)["user"].to_pylist() == ["ann", "bob"]


@SOME
@given(acts=ACTS)
def test_nested_windows_never_shrink(quick, acts):
    for row in quick(acts).to_pylist():
        for nested in (
            ["engagers_7d", "engagers_28d", "engagers_90d", "engagers_365d", "engagers_ever"],
            ["engagements_7d", "engagements_28d", "engagements_365d"],
            ["created_7d", "created_28d", "created_90d", "created_365d", "acts_365d"],
            ["engagers_decayed_28d", "engagers_ever"],
            ["new_engagers_28d", "engagers_28d"],
            ["followers", "engagers_ever"],
        ):
            values = [row[name] for name in nested]
            assert values == sorted(values), nested
        assert row["new_engagers_28d"] + row["returning_engagers_28d"] == row["engagers_28d"]
        assert all(row[name] is None or row[name] >= 0 for name in CATALOGUE.names)
        assert all(row[name] is None or row[name] <= 1 for name in ("mutual_share_365d", "concentration_365d"))


@settings(max_examples=20)
@given(acts=ACTS)
def test_a_plain_computation_agrees(quick, acts):
    rows = quick(acts).to_pylist()
    oracle = Oracle(acts)
    for row in rows:
        for name, value in oracle.features(row["user"]).items():
            assert row[name] == (None if value is None else pytest.approx(value, abs=1e-8)), (row["user"], name)


class Oracle:
    """Features by plain counting, person by person and act by act."""

    def __init__(self, acts):
        self.acts = [(round(act[0] * 86_400), *act[1:]) for act in acts]
        self.received = defaultdict(lambda: defaultdict(list))
        for age, actor, verb, target, *_ in self.acts:
            if verb in ENGAGEMENT and target is not None and actor != target:
                self.received[target][actor].append((age, verb))

    def people(self, user, days=math.inf):
        """Known people who engaged with somebody in the last days."""
        return {
            who
            for who, received in self.received[user].items()
            if who is not None and any(age <= days * 86_400 for age, _ in received)
        }

    def features(self, user):
        received, everybody = self.received[user], list(self.received)
        all_acts = [act for acts in received.values() for act in acts]
        year, month = self.people(user, 365), self.people(user, 28)
        before = {who for who in month if max(age for age, _ in received[who]) > 28 * 86_400}
        mine = [act for act in self.acts if act[1] == user]
        by_whom = Counter({who: sum(age <= 365 * 86_400 for age, _ in received[who]) for who in year})
        periods = [{w for w in self.people(user) if self._any(received[w], k)} for k in range(6)]
        drawing = [any(self._any(acts, k) for acts in received.values()) for k in range(6)]
        return {
            "engagers_28d": len(month),
            "engagers_ever": len(self.people(user)),
            "engagers_decayed_28d": sum(
                2 ** (-min(age for age, _ in received[who]) / 86_400 / 28) for who in self.people(user)
            ),
            "new_engagers_28d": len(month - before),
            "returning_engagers_28d": len(before),
            "pace_28d": sum(len(people) / 2**k for k, people in enumerate(periods)) / (63 / 32),
            "periods_drawing_168d": sum(drawing),
            "followers": sum(self._follows(received[who]) for who in self.people(user)),
            "engagements_28d": sum(age <= 28 * 86_400 for age, _ in all_acts),
            "mutual_share_365d": len({w for w in year if user in self.people(w, 365)}) / len(year) if year else None,
            "engager_prominence_365d": sum(math.log(1 + len(self.people(w, 365))) for w in year) / len(year)
            if year
            else None,
            "concentration_365d": sum(n * n for n in by_whom.values()) / by_whom.total() ** 2 if year else None,
            "people_engaged_90d": sum(user in self.people(other, 90) for other in everybody),
            "created_28d": sum(age <= 28 * 86_400 and verb in ("post", "reply", "quote") for age, _, verb, *_ in mine),
            "active_days_28d": len({(age - 1) // 86_400 for age, *_ in mine if age <= 28 * 86_400}),
            "days_since_last_act": min(age for age, *_ in mine) / 86_400 if mine else None,
            "days_since_last_engagement": min(age for age, _ in all_acts) / 86_400 if all_acts else None,
        }

    @staticmethod
    def _any(received, period):
        return any(period * 28 * 86_400 < age <= (period + 1) * 28 * 86_400 for age, _ in received)

    @staticmethod
    def _follows(received):
        followed = [age for age, verb in received if verb == "follow"]
        unfollowed = [age for age, verb in received if verb == "unfollow"]
        return bool(followed) and (not unfollowed or min(followed) < min(unfollowed))


class TestAsOf:
    def test_before_or_at_the_first_event(self, table, as_of):
        events = open_events(table([(3, "ann", "like", "bob"), (1, "ann", "like", "bob")]))
        first = as_of - timedelta(days=3)
        for early in (first, first - timedelta(days=9)):
            with pytest.raises(
                AsOfError, match=r"as_of 2025-05-\d\d 00:00:00 is not after the first event, 2025-05-29"
            ):
                checked_as_of(events, early)
        assert checked_as_of(events, first + MICROSECOND) == first + MICROSECOND

    @pytest.mark.parametrize("late", [timedelta(0), MICROSECOND, timedelta(seconds=1) - MICROSECOND])
    def test_without_one_all_events_are_before_it(self, table, as_of, late):
        events = open_events(table([(3 - late / timedelta(days=1), "ann", "like", "bob")]))
        assert checked_as_of(events) == as_of - timedelta(days=3) + timedelta(seconds=1)

    def test_no_events(self, table):
        with pytest.raises(EventsError, match="the event table is empty"):
            checked_as_of(open_events(table([])))

    def test_text_and_other_zones(self, table):
        acts = table([(1, "ann", "like", "bob")])
        one, other = (computed(acts, text) for text in ("2025-06-01", "2025-06-01T02:00:00+02:00"))
        assert content(one) == content(other)
        assert one.num_rows == 2

    def test_pandas_in_gives_the_same(self, table, as_of):
        acts = table([(1, "ann", "like", "bob"), (2, None, "like", "bob")])
        frame = acts.to_pandas()
        assert isinstance(frame, pd.DataFrame)
        assert content(computed(frame, as_of)) == content(computed(acts, as_of))
