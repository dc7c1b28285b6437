"""What somebody earned: by hand, by brute force in pandas, and against the feature table."""

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


def frame(acts):
    rows = pd.DataFrame([(AS_OF - act[0] * DAY, *act[1:]) for act in acts], columns=COLUMNS)
    return rows.astype({"time": "datetime64[us, UTC]"})


def test_a_history_by_hand(table):
    made = engagement_report(table(HISTORY), "star", AS_OF)
    one = ByVerb(1, 1)
    assert made.pieces == (
        Piece("p1", 2, 4, 1, {"like": ByVerb(2, 3), "reply": one}, at(20), at(15), at(12)),
        Piece("p2", 1, 1, 0, {"repost": one}, at(95), at(9), at(9)),
        Piece("p3", 1, 1, 0, {"dislike": one}, at(11), at(10), at(10)),
    )
    kinds = {"like": ByVerb(3, 4), "reply": one, "mention": one, "follow": one, "repost": one, "dislike": one}
    assert made.verbs == kinds
    assert (made.people, made.responders, made.engagements, made.unknown) == (4, 3, 9, 1)
    assert (made.on_pieces, made.drawing) == (ByVerb(3, 6), 3)
    assert (made.user, made.scope, made.as_of, made.days) == ("star", "all", "2025-06-01T00:00:00Z", 90)


def test_the_most_people_come_first_then_the_most_engagements_then_the_name(table):
    acts = [(1, who, verb, "star", piece) for piece, who, verb in [
        ("b", "ann", "like"), ("a", "ann", "like"), ("c", "ann", "like"), ("c", "ann", "reply"),
        ("d", "ann", "like"), ("d", "bob", "like"), ("e", None, "like"), ("e", None, "like"), ("e", None, "like"),
    ]]  # fmt: skip
    everything = engagement_report(table(acts), "star", AS_OF)
    assert [piece.piece for piece in everything.pieces] == ["d", "c", "a", "b", "e"]
    assert (everything.pieces[-1].people, everything.pieces[-1].unknown) == (0, 3)
    two = engagement_report(table(acts), "star", AS_OF, top=2)
    assert two.pieces == everything.pieces[:2]
    assert (two.drawing, two.engagements) == (5, 9)


def test_a_making_more_than_a_week_before_the_window_is_not_known(table):
    acts = [(98, "star", "post", None, "old"), (97, "star", "post", None, "known"), (5, "ann", "post", None, "hers")]
    acts += [(1, "ann", "like", "star", piece) for piece in ("old", "known", "hers")]
    made = {piece.piece: piece.made for piece in engagement_report(table(acts), "star", AS_OF).pieces}
    assert made == {"old": None, "known": at(97), "hers": None}


PEOPLE = st.sampled_from(["ann", "bob", "çelik 🙂", "'; --", "", None])
PIECES = st.sampled_from(["o1", "o2", "o3", None])
AGES = st.one_of(st.integers(0, 100), st.sampled_from([90, 91, 97, 98, -1]))
ACTS = st.lists(st.tuples(AGES, PEOPLE, st.sampled_from(VERBS), PEOPLE, PIECES, PIECES), min_size=1, max_size=50)


def brute(acts, user):
    """Find the same in pandas, from what the words mean."""
    events = frame(acts)
    lately = events[(events["time"] < AS_OF) & (events["time"] >= AS_OF - 90 * DAY)]
    received = lately[(lately["target"] == user) & lately["verb"].isin(ENGAGEMENTS) & ~(lately["actor"] == user)]
    on_pieces = received[received["verb"].isin(ON_PIECES) & received["object"].notna()]
    own = events[(events["actor"] == user) & events["verb"].isin(CREATIONS) & (events["time"] < AS_OF)]
    own = own[own["time"] >= AS_OF - 97 * DAY]
    own = own.assign(piece=own["object"].where(own["verb"] == "post", own["result"]))
    found = {}
    for piece, drawn in on_pieces.groupby("object"):
        made = own.loc[own["piece"] == piece, "time"]
        found[piece] = (
            drawn["actor"].nunique(),
            len(drawn),
            int(drawn["actor"].isna().sum()),
            {verb: ByVerb(part["actor"].nunique(), len(part)) for verb, part in drawn.groupby("verb")},
            None if made.empty else told(made.min()),
            told(drawn["time"].min()),
            told(drawn["time"].max()),
        )
    responded = received[received["verb"].isin(RESPONSES)]
    kinds = {verb: ByVerb(part["actor"].nunique(), len(part)) for verb, part in received.groupby("verb")}
    totals = (received["actor"].nunique(), responded["actor"].nunique(), len(received), kinds)
    return found, totals, ByVerb(on_pieces["actor"].nunique(), len(on_pieces))


def told(time):
    return time.to_pydatetime().isoformat().replace("+00:00", "Z")


@settings(max_examples=10)
@given(acts=ACTS, top=st.sampled_from([None, 1, 2]))
def test_it_is_what_brute_force_finds_and_what_features_count(acts, top):
    events = frame(acts)
    seen = events[events["time"] < AS_OF]
    rows = feature_rows(load_encoded_events(events), AS_OF).set_index("user") if len(seen) else None
    for user in ["ann", "çelik 🙂", "'; --", ""]:
        if not ((seen["actor"] == user) | (seen["target"] == user)).any():
            with pytest.raises((UnknownUserError, AsOfError)):
                engagement_report(events, user, AS_OF)
            continue
        made = engagement_report(events, user, AS_OF, top=top)
        pieces, totals, on_pieces = brute(acts, user)
        expected = sorted(pieces, key=lambda piece: (-pieces[piece][0], -pieces[piece][1], piece))[:top]
        assert [piece.piece for piece in made.pieces] == expected
        for p in made.pieces:
            assert (p.people, p.engagements, p.unknown, p.verbs, p.made, p.first, p.last) == pieces[p.piece]
        assert (made.people, made.responders, made.engagements, made.verbs) == totals
        assert (made.on_pieces, made.drawing) == (on_pieces, len(pieces))
        assert user not in rows.index or made.differences(rows.loc[user]) == {}  # who was only viewed has no row


@settings(max_examples=15)
@given(acts=ACTS, later=ACTS)
def test_nothing_at_or_after_the_instant_matters(acts, later):
    known = [(1, "ann", "like", "bob", "o1", None), *acts]
    future = [(-abs(act[0]), *act[1:]) for act in later]
    assert engagement_report(frame(known + future), "bob", AS_OF) == engagement_report(frame(known), "bob", AS_OF)


def test_accounts_of_one_person_are_put_together(table):
    same = pd.DataFrame({"account": ["star2", "ann2", "ann"], "person": ["star", "ann", "ann"]})
    acts = [
        (9, "star2", "post", None, "p"),
        (8, "star", "like", "star2", "p"),
        (7, "ann", "like", "star2", "p"),
        (6, "ann2", "reply", "star", "p", "r"),
    ]
    apart, together = (
        engagement_report(table(acts), "star2", AS_OF),
        engagement_report(table(acts), "star", AS_OF, identities=same),
    )
    assert (apart.people, apart.engagements) == (2, 2)
    (piece,) = together.pieces
    assert (piece.people, piece.engagements, piece.made) == (1, 2, at(9))
    rows = feature_rows(load_encoded_events(table(acts), identities=same), AS_OF).set_index("user")
    assert together.differences(rows.loc["star"]) == {}
    with pytest.raises(
        UnknownUserError, match="'star2' is an account of 'star' in the identities; ask for that person"
    ):
        engagement_report(table(acts), "star2", AS_OF, identities=same)
    twice = pd.DataFrame({"account": ["a", "a"], "person": ["x", "y"]})
    with pytest.raises(IdentitiesError, match="expected one person per account"):
        engagement_report(table(acts), "star", AS_OF, identities=twice)


@pytest.mark.parametrize(("scope", "drawing"), [("all", 3), ("network:sea", 2), ("topic:rope", 2), ("topic:fog", 0)])
def test_a_scope_is_a_part_of_the_activity(scope, drawing):
    acts = [(9, "star", "post", None, "p", None), *((k, "ann", "like", "star", f"p{k}", None) for k in (1, 2, 3))]
    network, topics = ["air", "sea", "sea", "air"], [["rope"], ["rope"], ["rope", "rope", "tar"], None]
    events = frame(acts).assign(network=network, topics=topics)
    made = engagement_report(events, "star", AS_OF, scope=scope)
    assert (made.drawing, made.engagements, made.scope) == (drawing, drawing, scope)
    rows = feature_rows(load_encoded_events(events, [scope]), AS_OF).set_index("user")
    assert "star" not in rows.index or made.differences(rows.loc["star"]) == {}


@pytest.fixture(scope="module")
def community(tmp_path_factory):
    place = tmp_path_factory.mktemp("community") / "events.parquet"
    simulate(Community(users=120, days=200, seed=3), place, lambda _: None)
    return place


def test_totals_of_a_simulated_community_are_those_of_its_features(community):
    at_end = datetime(2025, 7, 1, tzinfo=UTC)
    rows = feature_rows(load_encoded_events(community), at_end).set_index("user")
    heard = 0
    for user, row in rows.sort_values("engagers_90d").iloc[::12].iterrows():
        made = engagement_report(community, user, at_end)
        assert made.differences(row) == {}
        assert max((piece.engagements for piece in made.pieces), default=0) == row["best_piece_90d"]
        assert made.responders >= row["credible_engagers_90d"] - 1e-6
        assert sum(piece.engagements for piece in made.pieces) == made.on_pieces.engagements
        heard += made.people
    assert heard > 20


def test_a_row_that_was_made_of_other_events_is_told_apart(table):
    made = engagement_report(table(HISTORY), "star", AS_OF)
    row = made.as_features() | {"engagers_90d": 5.0}
    assert made.differences(row) == {"engagers_90d": {"events": 4.0, "scored": 5.0}}
    assert made.as_features()["likes_90d"] == 4


def test_somebody_who_is_there_and_earned_nothing(table):
    for acts in ([(2, "idle", "like", "star", "p1")], [(300, "ann", "like", "idle", "p1")]):
        made = engagement_report(table(acts), "idle", AS_OF)
        assert made == EngagementReport("idle", "all", at(0), 90, 0, 0, 0, 0, {}, ByVerb(0, 0), 0, ())


@pytest.mark.parametrize(
    ("acts", "asked", "error", "message"),
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
def test_what_cannot_be_answered(table, acts, asked, error, message):
    with pytest.raises(error, match=message):
        engagement_report(table(acts), asked.get("user", "star"), AS_OF, scope=asked.get("scope", "all"))


def test_a_store_has_no_names_of_pieces(table, tmp_path):
    add_to_store(table(HISTORY), tmp_path / "store")
    with pytest.raises(StoreError, match="is a store, which has no names of pieces; use the events themselves"):
        engagement_report(tmp_path / "store", "star", AS_OF)
    with pytest.raises(EventsError, match="no events at"):
        engagement_report(tmp_path / "nothing.parquet", "star", AS_OF)


def test_nothing_is_left_behind(table):
    events = open_events(table(HISTORY))
    before = events.get_backend().list_tables()
    engagement_report(events, "star", AS_OF)
    assert events.get_backend().list_tables() == before
