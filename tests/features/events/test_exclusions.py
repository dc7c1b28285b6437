"""Exclusions: excluded users have no effect on the features of others."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.engagement_report import engagement_report
from features.errors import UnknownUserError
from features.events.event_table import VERBS
from features.events.loading import load_encoded_events, load_events
from features.events.store import add_to_store
from features.feature_table import feature_rows

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
NAMES = ["time", "actor", "verb", "target", "object"]
PEOPLE = st.sampled_from(["ann", "bob", "çelik 🙂", "", "o'x", None])
ACTS = st.lists(
    st.tuples(st.integers(0, 400), PEOPLE, st.sampled_from(VERBS), PEOPLE, st.sampled_from(["o1", "o2", None])),
    min_size=1,
    max_size=40,
)
EXCLUDED = st.frozensets(st.sampled_from(["ann", "çelik 🙂", "", "o'x", "nobody"]), min_size=1)
ALWAYS = [(1, "zoe", "like", "bob", "o1"), (2, "bob", "post", None, "o1")]
SAME = pd.DataFrame({"account": ["ann1", "ann2"], "person": ["ann", "ann"]})


class Hashed:
    """Ids that can be tested but not listed, like hashes of deleted users."""

    def __init__(self, ids):
        self._hashes = {hash(("salt", user)) for user in ids}

    def __contains__(self, user):
        return hash(("salt", user)) in self._hashes

    def __len__(self):
        return len(self._hashes)


def table(events):
    return pd.DataFrame([(AS_OF - timedelta(days=event[0], seconds=1), *event[1:]) for event in events], columns=NAMES)


def rows_of(source, **options):
    return feature_rows(load_encoded_events(source, **options), AS_OF)


@settings(max_examples=3, deadline=None)
@given(rows=ACTS, excluded=EXCLUDED)
def test_exclusion_equals_events_without_the_rows(tmp_path_factory, rows, excluded):
    events = table(rows + ALWAYS)
    remaining = events[~events["actor"].isin(excluded) & ~events["target"].isin(excluded)].reset_index(drop=True)
    expected = rows_of(remaining)
    assert rows_of(events, excluded=excluded).equals(expected)
    assert rows_of(events, excluded=Hashed(excluded)).equals(expected)
    store = tmp_path_factory.mktemp("stores") / "store"
    add_to_store(table(rows), store)
    if set(rows) - set(ALWAYS):
        add_to_store(table(ALWAYS), store)
    assert rows_of(store, excluded=excluded).equals(expected)


@settings(max_examples=1, deadline=None)
@given(rows=ACTS, excluded=EXCLUDED)
def test_exclusion_applies_to_every_scope(tmp_path_factory, rows, excluded):
    events = table(rows + ALWAYS).assign(network=["sea" if k % 2 else "land" for k in range(len(rows) + 2)])
    scopes = ["all", "network:*"]
    remaining = events[~events["actor"].isin(excluded) & ~events["target"].isin(excluded)].reset_index(drop=True)
    expected = rows_of(remaining, scopes=scopes)
    assert rows_of(events, scopes=scopes, excluded=excluded).equals(expected)
    store = tmp_path_factory.mktemp("stores") / "store"
    add_to_store(events, store, scopes)
    assert rows_of(store, scopes=scopes, excluded=excluded).equals(expected)


def test_events_by_unknown_users_are_not_excluded():
    events = table([(1, None, "like", "bob", "o1"), (1, "ann", "like", "bob", "o1"), (3, "bob", "post", None, "o1")])
    (bob,) = rows_of(events, excluded=frozenset(["ann"])).to_dict("records")
    assert (bob["user"], bob["engagements_28d"], bob["engagers_28d"]) == ("bob", 1, 0)


def test_empty_exclusion_does_not_read_ids(monkeypatch):
    monkeypatch.setattr("features.events.exclusions._matching_users", lambda *_: pytest.fail("the ids were read"))
    assert len(rows_of(table(ALWAYS), excluded=frozenset())) == 2


@pytest.mark.parametrize("excluded", ["ann", "ann1"])
def test_excluding_one_account_excludes_the_person(tmp_path, excluded):
    rows = [(1, "ann1", "like", "bob", "o1"), (2, "cid", "like", "ann2", None), (3, "ann2", "like", "bob", "o1")]
    events = table([*rows, *ALWAYS])
    add_to_store(events, tmp_path / "store", identities=SAME)
    expected = rows_of(table(ALWAYS))
    assert list(expected["user"]) == ["bob", "zoe"]
    for source, more in ((events, {"identities": SAME}), (tmp_path / "store", {})):
        assert rows_of(source, excluded=frozenset([excluded]), **more).equals(expected)


def test_excluded_users_are_not_credibility_seeds():
    events = [(1, "star", "like", "zoe", None), *ALWAYS, (5, "star", "post", None, "o2")]
    with_star = load_encoded_events(table(events), excluded=frozenset(["star"])).with_seeds(["star", "zoe"])
    without = load_encoded_events(table(ALWAYS)).with_seeds(["zoe"])
    assert feature_rows(with_star, AS_OF).equals(feature_rows(without, AS_OF))


def test_engagement_report_ignores_excluded_users():
    events = table([*ALWAYS, (3, "ann", "like", "bob", "o1")])
    assert engagement_report(events, "bob", AS_OF).people == 2
    report = engagement_report(events, "bob", AS_OF, excluded=frozenset(["ann"]))
    assert (report.people, report.engagements) == (1, 1)
    assert report.differences(rows_of(events, excluded=frozenset(["ann"])).iloc[0].to_dict()) == {}


def test_engagement_report_rejects_an_excluded_user():
    with pytest.raises(UnknownUserError, match="'ann' neither acts nor is engaged with"):
        engagement_report(table([*ALWAYS, (3, "bob", "like", "ann", "o2")]), "ann", AS_OF, excluded=frozenset(["ann"]))


def test_attack_events_exclude_opted_out_users():
    events = load_events(table([*ALWAYS, (3, "ann1", "like", "bob", "o1")]), SAME, excluded=frozenset(["ann"]))
    assert set(events.to_pandas()["actor"]) == {"zoe", "bob"}
