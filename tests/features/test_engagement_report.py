"""Engagement reports: by hand, by brute force in pandas, and compared with the feature table."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.engagement_report import ByVerb, EngagementReport, Piece, engagement_report
from features.errors import AsOfError, EventsError, IdentitiesError, ScopeError, StoreError, UnknownUserError
from features.events.event_table import CREATIONS, ENGAGEMENTS, RESPONSES, VERBS, open_events
from features.events.loading import load_encoded_events
from features.events.store import add_to_store
from features.feature_table import feature_rows
from features.simulation import Community, simulate

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ON_PIECES = set(ENGAGEMENTS) - {"follow", "unfollow", "block", "mention"}
COLUMNS = ["time", "actor", "verb", "target", "object", "result"]
HISTORY = [
    (20, "star", "post", None, "p1", None),
    (95, "star", "post", None, "p2", None),
    (15, "ann", "like", "star", "p1", None),
    (14, "ann", "reply", "star", "p1", "r1"),
    (13, "bob", "like", "star", "p1", None),
    (12, None, "like", "star", "p1", None),
    (11, "star", "reply", "star", "p1", "p3"),
    (10, "bob", "dislike", "star", "p3", None),
    (9, "cid", "repost", "star", "p2", None),
    (8, "dan", "follow", "star", None, None),
    (7, "ann", "mention", "star", "m1", None),
    (6, "cid", "like", "star", None, None),
    (91, "eve", "like", "star", "p2", None),
    (0, "eve", "like", "star", "p1", None),
    (5, "star", "like", "ann", "r1", None),
]


def at(days):
    return (AS_OF - days * DAY).isoformat().replace("+00:00", "Z")


def frame(events):
    rows = pd.DataFrame([(AS_OF - event[0] * DAY, *event[1:]) for event in events], columns=COLUMNS)
    return rows.astype({"time": "datetime64[us, UTC]"})


def test_report_by_hand(table):
    report = engagement_report(table(HISTORY), "star", AS_OF)
    one = ByVerb(1, 1)
    assert report.pieces == (
        Piece("p1", 2, 4, 1, {"like": ByVerb(2, 3), "reply": one}, at(20), at(15), at(12)),
        Piece("p2", 1, 1, 0, {"repost": one}, at(95), at(9), at(9)),
        Piece("p3", 1, 1, 0, {"dislike": one}, at(11), at(10), at(10)),
    )
    kinds = {"like": ByVerb(3, 4), "reply": one, "mention": one, "follow": one, "repost": one, "dislike": one}
    assert report.verbs == kinds
    assert (report.people, report.responders, report.engagements, report.unknown) == (4, 3, 9, 1)
    assert (report.on_pieces, report.drawing) == (ByVerb(3, 6), 3)
    assert (report.user, report.scope, report.as_of, report.days) == ("star", "all", "2025-06-01T00:00:00Z", 90)


def test_pieces_are_sorted_by_people_engagements_and_name(table):
    events = [(1, who, verb, "star", piece) for piece, who, verb in [
        ("b", "ann", "like"), ("a", "ann", "like"), ("c", "ann", "like"), ("c", "ann", "reply"),
        ("d", "ann", "like"), ("d", "bob", "like"), ("e", None, "like"), ("e", None, "like"), ("e", None, "like"),
    ]]  # fmt: skip
    everything = engagement_report(table(events), "star", AS_OF)
    assert [piece.piece for piece in everything.pieces] == ["d", "c", "a", "b", "e"]
    assert (everything.pieces[-1].people, everything.pieces[-1].unknown) == (0, 3)
    two = engagement_report(table(events), "star", AS_OF, top=2)
    assert two.pieces == everything.pieces[:2]
    assert (two.drawing, two.engagements) == (5, 9)


def test_creation_more_than_a_week_before_the_window_is_null(table):
    events = [(98, "star", "post", None, "old"), (97, "star", "post", None, "known"), (5, "ann", "post", None, "hers")]
    events += [(1, "ann", "like", "star", piece) for piece in ("old", "known", "hers")]
    report = {piece.piece: piece.made for piece in engagement_report(table(events), "star", AS_OF).pieces}
    assert report == {"old": None, "known": at(97), "hers": None}


PEOPLE = st.sampled_from(["ann", "bob", "çelik 🙂", "'; --", "", None])
PIECES = st.sampled_from(["o1", "o2", "o3", None])
AGES = st.one_of(st.integers(0, 100), st.sampled_from([90, 91, 97, 98, -1]))
ACTS = st.lists(st.tuples(AGES, PEOPLE, st.sampled_from(VERBS), PEOPLE, PIECES, PIECES), min_size=1, max_size=50)


def brute_force(rows, user):
    """Compute the same report in pandas, from the definitions."""
    events = frame(rows)
    lately = events[(events["time"] < AS_OF) & (events["time"] >= AS_OF - 90 * DAY)]
    received = lately[(lately["target"] == user) & lately["verb"].isin(ENGAGEMENTS) & ~(lately["actor"] == user)]
    on_pieces = received[received["verb"].isin(ON_PIECES) & received["object"].notna()]
    own = events[(events["actor"] == user) & events["verb"].isin(CREATIONS) & (events["time"] < AS_OF)]
    own = own[own["time"] >= AS_OF - 97 * DAY]
    own = own.assign(piece=own["object"].where(own["verb"] == "post", own["result"]))
    pieces = {}
    for piece, reactions in on_pieces.groupby("object"):
        created = own.loc[own["piece"] == piece, "time"]
        pieces[piece] = (
            reactions["actor"].nunique(),
            len(reactions),
            int(reactions["actor"].isna().sum()),
            {verb: ByVerb(part["actor"].nunique(), len(part)) for verb, part in reactions.groupby("verb")},
            None if created.empty else iso(created.min()),
            iso(reactions["time"].min()),
            iso(reactions["time"].max()),
        )
    responded = received[received["verb"].isin(RESPONSES)]
    kinds = {verb: ByVerb(part["actor"].nunique(), len(part)) for verb, part in received.groupby("verb")}
    totals = (received["actor"].nunique(), responded["actor"].nunique(), len(received), kinds)
    return pieces, totals, ByVerb(on_pieces["actor"].nunique(), len(on_pieces))


def iso(time):
    return time.to_pydatetime().isoformat().replace("+00:00", "Z")


def test_post_by_another_user_is_not_the_creation_of_a_piece(table):
    events = [(9, "bob", "post", "star", "p"), (8, "cid", "post", "star", "p"), (3, "ann", "like", "star", "p")]
    report = engagement_report(table(events), "star", AS_OF)
    assert [(piece.engagements, piece.made) for piece in report.pieces] == [(1, None)]


@settings(max_examples=4)
@given(acts=ACTS, top=st.sampled_from([None, 1, 2]))
def test_report_equals_brute_force_and_features(acts, top):
    events = frame(acts)
    earlier = events[events["time"] < AS_OF]
    rows = feature_rows(load_encoded_events(events), AS_OF).set_index("user") if len(earlier) else None
    for user in ["ann", "çelik 🙂", "'; --", ""]:
        if not ((earlier["actor"] == user) | (earlier["target"] == user)).any():
            with pytest.raises((UnknownUserError, AsOfError)):
                engagement_report(events, user, AS_OF)
            continue
        report = engagement_report(events, user, AS_OF, top=top)
        pieces, totals, on_pieces = brute_force(acts, user)
        expected = sorted(pieces, key=lambda piece: (-pieces[piece][0], -pieces[piece][1], piece))[:top]
        assert [piece.piece for piece in report.pieces] == expected
        for p in report.pieces:
            assert (p.people, p.engagements, p.unknown, p.verbs, p.made, p.first, p.last) == pieces[p.piece]
        assert (report.people, report.responders, report.engagements, report.verbs) == totals
        assert (report.on_pieces, report.drawing) == (on_pieces, len(pieces))
        assert user not in rows.index or report.differences(rows.loc[user]) == {}  # e.g. only viewed


@settings(max_examples=6)
@given(events=ACTS, later=ACTS)
def test_events_at_or_after_as_of_are_ignored(events, later):
    past = [(1, "ann", "like", "bob", "o1", None), *events]
    future = [(-abs(event[0]), *event[1:]) for event in later]
    assert engagement_report(frame(past + future), "bob", AS_OF) == engagement_report(frame(past), "bob", AS_OF)


def test_accounts_of_one_person_are_merged(table):
    same = pd.DataFrame({"account": ["star2", "ann2", "ann"], "person": ["star", "ann", "ann"]})
    events = [
        (9, "star2", "post", None, "p"),
        (8, "star", "like", "star2", "p"),
        (7, "ann", "like", "star2", "p"),
        (6, "ann2", "reply", "star", "p", "r"),
    ]
    separate, merged = (
        engagement_report(table(events), "star2", AS_OF),
        engagement_report(table(events), "star", AS_OF, identities=same),
    )
    assert (separate.people, separate.engagements) == (2, 2)
    (piece,) = merged.pieces
    assert (piece.people, piece.engagements, piece.made) == (1, 2, at(9))
    rows = feature_rows(load_encoded_events(table(events), identities=same), AS_OF).set_index("user")
    assert merged.differences(rows.loc["star"]) == {}
    with pytest.raises(
        UnknownUserError, match="'star2' is an account of 'star' in the identities; ask for that person"
    ):
        engagement_report(table(events), "star2", AS_OF, identities=same)
    twice = pd.DataFrame({"account": ["a", "a"], "person": ["x", "y"]})
    with pytest.raises(IdentitiesError, match="expected one person per account"):
        engagement_report(table(events), "star", AS_OF, identities=twice)


@pytest.mark.parametrize(("scope", "drawing"), [("all", 3), ("network:sea", 2), ("topic:rope", 2), ("topic:fog", 0)])
def test_report_of_a_scope(scope, drawing):
    acts = [(9, "star", "post", None, "p", None), *((k, "ann", "like", "star", f"p{k}", None) for k in (1, 2, 3))]
    network, topics = ["air", "sea", "sea", "air"], [["rope"], ["rope"], ["rope", "rope", "tar"], None]
    events = frame(acts).assign(network=network, topics=topics)
    report = engagement_report(events, "star", AS_OF, scope=scope)
    assert (report.drawing, report.engagements, report.scope) == (drawing, drawing, scope)
    rows = feature_rows(load_encoded_events(events, [scope]), AS_OF).set_index("user")
    assert "star" not in rows.index or report.differences(rows.loc["star"]) == {}


@pytest.fixture(scope="module")
def community(tmp_path_factory):
    path = tmp_path_factory.mktemp("community") / "events.parquet"
    simulate(Community(users=120, days=200, seed=3), path, lambda _: None)
    return path


def test_totals_of_a_simulated_community_equal_its_features(community):
    at_end = datetime(2025, 7, 1, tzinfo=UTC)
    rows = feature_rows(load_encoded_events(community), at_end).set_index("user")
    engagers = 0
    for user, row in rows.sort_values("engagers_90d").iloc[::12].iterrows():
        report = engagement_report(community, user, at_end)
        assert report.differences(row) == {}
        assert max((piece.engagements for piece in report.pieces), default=0) == row["best_piece_90d"]
        assert report.responders >= row["credible_engagers_90d"] - 1e-6
        assert sum(piece.engagements for piece in report.pieces) == report.on_pieces.engagements
        engagers += report.people
    assert engagers > 20


def test_differences_detect_a_row_of_other_events(table):
    report = engagement_report(table(HISTORY), "star", AS_OF)
    row = report.as_features() | {"engagers_90d": 5.0}
    assert report.differences(row) == {"engagers_90d": {"events": 4.0, "scored": 5.0}}
    assert report.differences({"engagers_90d": 5.0, "acts_365d": 7.0}) == report.differences(row)
    assert report.differences({"acts_365d": 7.0}) == {}
    assert report.as_features()["likes_90d"] == 4


def test_user_without_engagement_has_an_empty_report(table):
    for events in ([(2, "idle", "like", "star", "p1")], [(300, "ann", "like", "idle", "p1")]):
        report = engagement_report(table(events), "idle", AS_OF)
        assert report == EngagementReport("idle", "all", at(0), 90, 0, 0, 0, 0, {}, ByVerb(0, 0), 0, ())


@pytest.mark.parametrize(
    ("events", "options", "error", "message"),
    [
        (
            HISTORY,
            {"user": "nobody"},
            UnknownUserError,
            "'nobody' neither acts nor is engaged with in the events before",
        ),
        ([(0, "ann", "like", "star", "p"), (1, "b", "like", "c", "p")], {}, UnknownUserError, "'star' neither acts"),
        ([], {}, EventsError, "the event table is empty"),
        ([(0, "ann", "like", "star", "p1")], {}, AsOfError, "is not after the first event"),
        (HISTORY, {"scope": "topic:*"}, ScopeError, r"'topic:\*' stands for several scopes; expected one"),
        (HISTORY, {"scope": "rope"}, ScopeError, "'rope' is not a valid scope"),
    ],
)
def test_invalid_requests_are_rejected(table, events, options, error, message):
    with pytest.raises(error, match=message):
        engagement_report(table(events), options.get("user", "star"), AS_OF, scope=options.get("scope", "all"))


def test_store_is_rejected(table, tmp_path):
    add_to_store(table(HISTORY), tmp_path / "store")
    with pytest.raises(StoreError, match="is a store, which has no names of pieces; use the events themselves"):
        engagement_report(tmp_path / "store", "star", AS_OF)
    with pytest.raises(EventsError, match="no events at"):
        engagement_report(tmp_path / "nothing.parquet", "star", AS_OF)


def test_temporary_tables_are_dropped(table):
    events = open_events(table(HISTORY))
    before = events.get_backend().list_tables()
    engagement_report(events, "star", AS_OF)
    assert events.get_backend().list_tables() == before
