from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.aggregates.relations import RESPONSE_COLUMNS
from features.catalogue import CATALOGUE, SCORED
from features.catalogue.plan import plan_features
from features.errors import AsOfError, CatalogueError, EventsError
from features.events.encoding import cached
from features.events.event_table import VERBS, open_events
from features.events.loading import load_encoded_events, resolve_as_of
from features.feature_table import KEYS, feature_rows, feature_table
from features.utc import parse_utc
from tests.benchmarks.timed import timed_statements

SECOND = 1 / 86_400
MICROSECOND = timedelta(microseconds=1)
PEOPLE = st.sampled_from(["ann", "bob", "çelik 🙂", "d'Arc", "", None])
PIECES = st.sampled_from(["o1", "o2", "o3", None])
EDGES = [SECOND, 1, 7, 7 + SECOND, 28, 28 + SECOND, 62, 84, 90, 90 + SECOND, 168, 364, 365, 365 + SECOND]
AGES = st.sampled_from(EDGES) | st.integers(1, 400 * 86_400).map(lambda seconds: seconds * SECOND)
ACT = st.tuples(
    AGES,
    PEOPLE,
    st.sampled_from(VERBS),
    PEOPLE,
    PIECES,
    PIECES,
    st.sampled_from(["h", "i", None]),
    st.sampled_from([0, 1, None]),
    st.sampled_from([["x"], ["x", "y"], [], None]),
)
ACTS = st.lists(ACT, min_size=1, max_size=60)
COMMUNITIES = st.lists(ACTS, min_size=4, max_size=4)  # one computation for several tests
ENGAGEMENT = {"reply", "repost", "quote", "like", "mention", "follow", "unfollow", "dislike", "flag", "block"}
OF_PEOPLE = ("follows", "followed", "engagers", "engaged_users", "topics", "own_events", "recent_events")
SOME = settings(max_examples=3)


def content(rows: pa.Table) -> list[bytes]:
    """Return the bytes and null masks of all columns, which differ if any bit of two tables differs."""
    keys = str([rows[name].to_pylist() for name in KEYS]).encode()
    nulls = [rows[name].is_null().to_numpy().tobytes() for name in CATALOGUE.names]
    return [keys, *nulls, *(rows[name].fill_null(0.0).to_numpy().tobytes() for name in CATALOGUE.names)]


class TestNoLeak:
    @SOME
    @given(communities=COMMUNITIES, later=ACTS)
    def test_events_at_or_after_as_of_change_nothing(self, table, rows_of, combine, communities, later):
        events = combine(communities)
        absurd = [
            (-event[0] if k else 0, *event[1:]) for k, event in enumerate(combine([later * 3] * len(communities)))
        ]
        absurd += [(0, f"new{k}", "follow", event[1]) for k, event in enumerate(events)]
        assert content(rows_of(table(absurd + events))) == content(rows_of(table(events)))

    def test_as_of_is_exclusive_to_the_microsecond(self, table, rows_of, as_of):
        events = table([(0, "ann", "like", "bob")])
        assert rows_of(events).num_rows == 0
        assert rows_of(events, as_of + MICROSECOND).num_rows == 2


class TestOrder:
    @SOME
    @given(communities=COMMUNITIES, order=st.randoms(use_true_random=False))
    def test_event_order_gives_the_same_bytes(self, table, rows_of, combine, communities, order):
        events = combine(communities)
        assert content(rows_of(table(order.sample(events, len(events))))) == content(rows_of(table(events)))

    def test_large_table_gives_the_same_bytes(self, table, rows_of):
        events = [
            (
                1 + k % 399,
                f"u{k * k % 97}",
                VERBS[k % len(VERBS)],
                f"u{k % 89}",
                f"o{k % 50}",
                f"o{k % 53}",
                f"h{k % 9}",
            )
            for k in range(20_000)
        ]
        assert content(rows_of(table(events))) == content(rows_of(table(events[::-1])))

    def test_rows_are_sorted_by_user(self, features_of):
        events = [(1, name, "post", None) for name in ("b", "a", "C", "ä", "")]
        assert list(features_of(events)) == sorted(["b", "a", "C", "ä", ""])


class TestSelfAndUnknown:
    @SOME
    @given(communities=COMMUNITIES)
    def test_self_directed_events_are_not_engagement(self, features_of_cases, communities):
        """They count as if they were directed at nobody."""
        unaimed = [
            [(*event[:3], None, *event[4:]) if event[1] == event[3] else event for event in community]
            for community in communities
        ]
        rows = features_of_cases([*communities, *unaimed])
        for every, without in zip(rows[: len(communities)], rows[len(communities) :], strict=True):
            assert {user: row | {"user": user} for user, row in every.items()} == {
                user: row | {"user": user} for user, row in without.items()
            }

    @SOME
    @given(communities=COMMUNITIES)
    def test_unknown_actors_count_as_engagement_but_not_as_people(self, features_of_cases, communities):
        named = [[event for event in events if event[1] is not None] for events in communities]
        unknown = [[(event[0], None, "like", "bob") for event in events] for events in communities]
        rows = features_of_cases([*named, *(some + more for some, more in zip(named, unknown, strict=True))])
        people = {feature.name for feature in CATALOGUE if feature.unit.startswith("people")}
        assert people >= {"pace_28d", "followers", "engagers_ever", "steady_engagers_168d", "attention_365d"}
        same = people | {feature.name for feature in CATALOGUE if feature.relation in OF_PEOPLE}
        same -= {"credible_rate_365d", "established_rate_365d", "responder_rate_365d"}  # since first seen
        for before, after, events in zip(rows[: len(named)], rows[len(named) :], unknown, strict=True):
            for user in before:
                assert {name: after[user][name] for name in same} == {name: before[user][name] for name in same}
            soon = sum(event[0] <= 365 for event in events)
            if soon:
                count_before = before["bob"]["engagements_365d"] if "bob" in before else 0
                assert after["bob"]["engagements_365d"] == count_before + soon


class TestOwnActs:
    @SOME
    @given(communities=COMMUNITIES, content=st.sampled_from([None, "h", "new"]), count=st.integers(1, 30))
    def test_posting_raises_no_scored_feature_except_by_presence(self, features_of_cases, communities, content, count):
        """It also makes no unknown feature known, on which a model could split, except by the first event."""
        posts = [(SECOND, "ann", "post", None, None, None, content)] * count
        rows = features_of_cases([*communities, *([*events, *posts] for events in communities)])
        for before, after in zip(rows[: len(communities)], rows[len(communities) :], strict=True):
            for feature in SCORED if "ann" in before else ():
                value_before, value_after = before["ann"][feature.name], after["ann"][feature.name]
                if feature.name == "tenure_days":
                    assert value_after == pytest.approx(SECOND if value_before is None else value_before)
                    continue
                assert (value_before is None) == (value_after is None), feature.name
                if value_before is not None and feature.name != "days_of_absence":
                    assert (
                        value_before <= value_after if feature.direction == "down" else value_before >= value_after
                    ), feature.name
                elif value_before is not None:
                    assert value_after <= value_before


class TestPopulation:
    @SOME
    @given(communities=COMMUNITIES)
    def test_one_row_per_user_active_within_a_year(self, table, rows_of, combine, communities):
        events = combine(communities)
        rows = rows_of(table(events))
        year = [event for event in events if event[0] < 365 + SECOND / 2]
        acting = {event[1] for event in year}
        engaged = {event[3] for event in year if event[2] in ENGAGEMENT and event[1] != event[3]}
        assert rows["user"].to_pylist() == sorted((acting | engaged) - {None})
        assert set(rows["scope"].to_pylist()) <= {"all"}

    def test_edge_of_the_year_is_included(self, features_of):
        events = [(365, "ann", "view", None), (365 + SECOND, "bob", "post", None), (365, None, "like", "cy")]
        assert list(features_of(events)) == ["ann", "cy"]

    def test_single_user(self, features_of):
        (row,) = features_of([(1, "ann", "post", None), (1, "ann", "like", "ann")]).values()
        assert (row["engagers_ever"], row["created_28d"], row["acts_365d"]) == (0, 1, 2)

    def test_views_are_not_engagement(self, features_of):
        assert list(features_of([(1, "ann", "view", "bob")])) == ["ann"]

    def test_columns(self, table, rows_of):
        rows = rows_of(table([(1, "ann", "like", "bob")]))
        assert rows.column_names == [*KEYS, *CATALOGUE.names]
        assert {str(rows.schema.field(name).type) for name in CATALOGUE.names} == {"double"}

    def test_columns_are_doubles_and_temporary_tables_are_dropped(self, table, as_of):
        events = load_encoded_events(table([(1, "ann", "like", "bob")]))
        engine = events.rows.get_backend()
        before = engine.list_tables()
        with feature_table(events, as_of) as rows:
            assert {str(rows.schema()[name]) for name in CATALOGUE.names} == {"float64"}
            assert len(engine.list_tables()) > len(before)
        assert engine.list_tables() == before

    def test_no_events_give_no_rows_and_all_columns(self, table, rows_of):
        rows = rows_of(table([]))
        assert (rows.num_rows, rows.column_names) == (0, [*KEYS, *CATALOGUE.names])

    def test_events_without_time_are_ignored(self, table, rows_of):
        rows = [*table([(1, "ann", "like", "bob")]).to_pylist(), {"actor": "eve", "verb": "like", "target": "bob"}]
        events = pa.Table.from_pylist(rows, schema=table([]).schema)
        assert rows_of(events)["user"].to_pylist() == ["ann", "bob"]

    def test_progress_grows_to_one(self, table, as_of):
        shares = []
        feature_rows(load_encoded_events(table([(1, "ann", "like", "bob")])), as_of, shares.append)
        steps = plan_features().steps
        assert shares == [step / steps for step in range(1, steps + 1)]


# Features that need the same relations differ only by an expression over them.
ONE_OF_EACH = list({plan_features([name]).relations: name for name in CATALOGUE.names}.values())


@pytest.fixture(scope="module")
def varied_events(table):
    rng = np.random.default_rng(3)
    users = [f"user{k}" for k in range(40)]
    old = [(400 - 9 * k, users[k % 40], "reply", users[(k * 7 + 3) % 40], "o1", f"r{k}") for k in range(40)]
    days = rng.uniform(0, 420, 1_500)
    random_events = zip(days, rng.choice(users, 1_500), rng.choice(VERBS, 1_500), rng.choice(users, 1_500), strict=True)
    pieces = [f"o{k}" for k in range(60)]
    events = [
        (day, actor, verb, target, *rng.choice(pieces, 2), str(k % 9), k % 2, ["x"] if k % 3 else ["x", "y"])
        for k, (day, actor, verb, target) in enumerate(random_events)
    ]
    return table([*old, *events, (3, None, "like", "user1"), (300, "gone", "like", None)])


class TestSelectedFeatures:
    @pytest.mark.parametrize(
        ("scopes", "seeds", "names"),
        [(("all",), (), CATALOGUE.names), (("all", "topic:x"), ("user1", "user2"), ONE_OF_EACH)],
        ids=["established", "scopes and seeds"],
    )
    def test_a_single_feature_equals_its_column(self, varied_events, as_of, seeds, scopes, names):
        with cached(load_encoded_events(varied_events, scopes).with_seeds(seeds)) as shared:
            full = feature_rows(shared, as_of)
            for name in names:
                rows = feature_rows(shared, as_of, features=[name])
                pd.testing.assert_frame_equal(rows, full[[*KEYS, name]], check_exact=True)

    @pytest.mark.parametrize("names", [[], SCORED.names, ["acts_365d", "engagers_7d"]], ids=["none", "scored", "two"])
    def test_columns_are_ordered_as_in_the_catalogue(self, varied_events, as_of, names):
        rows = feature_rows(load_encoded_events(varied_events), as_of, features=names[::-1])
        assert list(rows) == [*KEYS, *sorted(names, key=CATALOGUE.names.index)]
        full = feature_rows(load_encoded_events(varied_events), as_of)
        pd.testing.assert_frame_equal(rows, full[list(rows)], check_exact=True)

    @pytest.mark.parametrize("name", ONE_OF_EACH)
    def test_steps_are_counted_exactly(self, table, as_of, name):
        shares = []
        feature_rows(load_encoded_events(table([(1, "ann", "like", "bob")])), as_of, shares.append, [name])
        assert len(shares) == plan_features([name]).steps

    def test_only_the_needed_relations_are_computed(self):
        counts = {name: plan_features([name]).relations for name in ("acts_365d", "followers", "created_28d")}
        assert counts == {
            "acts_365d": {"own_events", "pairs"},
            "followers": {"own_events", "pairs", "follows"},
            "created_28d": {"own_events", "pairs", "recent_events"},
        }
        assert not plan_features(["acts_365d"]).counts_pairs
        assert plan_features(SCORED.names).steps < plan_features().steps

    def test_only_the_columns_that_are_read_are_copied(self):
        scored, links = plan_features(SCORED.names), plan_features(["link_share_90d"])
        assert scored.recent_columns == ["actor", "verb", "target", "content", "object", "age"]
        assert links.recent_columns == ["actor", "verb", "target", "links", "age"]
        assert {"links", "topics"} < {*plan_features().recent_columns}
        assert scored.responder_columns == ["user", "other", "last_age", "weeks", "presence", "weight"]
        assert {"mutual", "passed"}.isdisjoint(plan_features().responder_columns)
        assert scored.pair_columns(with_pairs=False) == list(RESPONSE_COLUMNS)
        assert scored.pair_columns(with_pairs=True)[:3] == ["last_age", "first_age", "weeks"]
        assert links.pair_columns(with_pairs=False) == []
        assert scored.piece_columns == ["unknown", "credit", "credible_age"]

    def test_events_and_pairs_are_dropped_before_the_propagation_of_credibility(self, table, as_of):
        statements = []
        events = load_encoded_events(table([(1, "ann", "like", "bob")]))
        with timed_statements(events, lambda statement, *_: statements.append(statement)):
            feature_rows(events, as_of, features=SCORED.names)
        steps = [
            (statement.partition(" ")[0], statement.split('"')[1]) for statement in statements if "clout0_" in statement
        ]
        seeds = steps.index(("CREATE", "clout0_seeds"))
        assert {("DROP", "clout0_events"), ("DROP", "clout0_pairs")} < {*steps[:seeds]}
        assert ("DROP", "clout0_responses") in steps[: steps.index(("CREATE", "clout0_recent_events"))]

    def test_creations_are_not_looked_up_for_features_that_do_not_read_them(self):
        assert "created" not in plan_features(SCORED.names).relations
        assert "created" in plan_features(["lasting_pieces_90d"]).relations
        assert plan_features(SCORED.names).recent_days == 90
        assert plan_features(["lasting_pieces_90d"]).recent_days == 97

    def test_unknown_feature_is_rejected(self, table, as_of):
        with pytest.raises(CatalogueError, match=r"no feature called 'follower' \(did you mean 'followers'\?\)\."):
            feature_rows(load_encoded_events(table([])), as_of, features=["follower"])


@SOME
@given(communities=COMMUNITIES)
def test_nested_windows_never_shrink(features_of, combine, communities):
    for row in features_of(combine(communities)).values():
        for nested in (
            ["engagers_7d", "engagers_28d", "engagers_90d", "engagers_365d", "engagers_ever"],
            ["engagements_7d", "engagements_28d", "engagements_90d", "engagements_365d"],
            ["replies_28d", "replies_90d", "engagements_90d"],
            ["endorsements_28d", "endorsements_90d", "engagements_90d"],
            ["pieces_drawing_28d", "pieces_drawing_90d", "engagements_90d"],
            ["lasting_pieces_90d", "pieces_drawing_90d"],
            ["passed_on_late_90d", "reposts_90d", "endorsements_90d"],
            ["best_piece_90d", "engagements_90d"],
            ["created_28d", "created_90d", "created_365d", "acts_365d"],
            ["created_decayed_7d", "created_decayed_14d", "created_90d"],
            ["engagers_decayed_28d", "engagers_ever"],
            ["engagements_decayed_14d", "engagements_90d"],
            ["weeks_active_decayed_8w", "weeks_active_52w", "acts_365d"],
            ["people_engaged_90d", "people_engaged_365d"],
            ["steady_engagers_168d", "pace_28d", "engagers_365d"],
            ["new_engagers_28d", "engagers_28d"],
            ["followers_gained_28d", "followers", "engagers_ever"],
            ["followers_lost_28d", "engagers_28d"],
            ["favoured_by_365d", "engagers_365d"],
            ["attention_365d", "engagers_365d"],
            ["reposts_made_90d", "acts_365d"],
            ["disapprovals_made_90d", "acts_365d"],
            ["days_since_last_act", "days_since_last_piece", "account_age_days"],
            ["days_since_last_engagement", "days_since_first_engagement", "account_age_days"],
        ):
            values = [row[name] for name in nested if row[name] is not None]
            assert all(low <= high + 1e-8 for low, high in pairwise(values)), nested
        assert row["new_engagers_28d"] + row["returning_engagers_28d"] == row["engagers_28d"]
        assert row["likes_90d"] + row["reposts_90d"] == row["endorsements_90d"]
        assert all(row[name] is None or row[name] >= 0 for name in CATALOGUE.names)
        shares = [feature.name for feature in CATALOGUE if feature.unit == "share"]
        assert all(row[name] is None or row[name] <= 1 for name in shares)


class TestAsOf:
    def test_as_of_at_or_before_the_first_event_is_rejected(self, table, as_of):
        events = open_events(table([(3, "ann", "like", "bob"), (1, "ann", "like", "bob")]))
        first = as_of - timedelta(days=3)
        for early in (first, first - timedelta(days=9)):
            with pytest.raises(
                AsOfError, match=r"as_of 2025-05-\d\d 00:00:00 is not after the first event, 2025-05-29"
            ):
                resolve_as_of(events, early)
        assert resolve_as_of(events, first + MICROSECOND) == first + MICROSECOND

    def test_as_of_long_after_the_last_event_is_valid(self, table, as_of):
        assert resolve_as_of(open_events(table([(400, "ann", "like", "bob")])), as_of) == as_of

    def test_as_of_in_the_future_is_rejected(self, table):
        events = open_events(table([(1, "ann", "like", "bob")]))
        with pytest.raises(AsOfError, match=r"lies in the future: the last event is at 2025-05-31 00:00:00 and"):
            resolve_as_of(events, datetime.now(UTC) + timedelta(hours=1))

    @pytest.mark.parametrize("late", [timedelta(0), MICROSECOND, timedelta(seconds=1) - MICROSECOND])
    def test_default_as_of_is_after_all_events(self, table, as_of, late):
        events = open_events(table([(3 - late / timedelta(days=1), "ann", "like", "bob")]))
        assert resolve_as_of(events) == as_of - timedelta(days=3) + timedelta(seconds=1)

    @pytest.mark.parametrize("load", [open_events, lambda events: load_encoded_events(events).rows])
    def test_empty_events_are_rejected(self, table, load):
        with pytest.raises(EventsError, match="the event table is empty"):
            resolve_as_of(load(table([])))

    def test_as_of_accepts_text_and_zones(self, table, rows_of, as_of):
        events = table([(1, "ann", "like", "bob"), (0, "eve", "like", "bob")])
        plain = content(rows_of(events, parse_utc("2025-06-01")))
        assert plain == content(rows_of(events, as_of))
        assert plain == content(rows_of(events, datetime.fromisoformat("2025-06-01T02:00:00+02:00")))

    def test_pandas_round_trip_gives_the_same(self, table, rows_of, as_of):
        events = table([(1, "ann", "like", "bob", None, None, None, None, ["x"]), (2, None, "like", "bob")])
        frame = events.to_pandas()
        assert isinstance(frame, pd.DataFrame)
        rows = feature_rows(load_encoded_events(frame), as_of)
        assert list(rows.columns) == [*KEYS, *CATALOGUE.names]
        assert content(pa.Table.from_pandas(rows)) == content(rows_of(events))
