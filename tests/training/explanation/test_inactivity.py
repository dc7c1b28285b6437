"""Inactivity: effects on the user's own features by hand, and on responses of others from the events."""

from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, SCORED
from features.events.event_table import open_events
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from training.explanation.feature_constraints import WhatIfError
from training.explanation.inactivity import inactivity_scenario, lost_responses, remove_recent_activity
from training.model.bundle import feature_row

NOBODY = dict.fromkeys(CATALOGUE.names, 0.0)


@pytest.mark.parametrize(
    ("since", "allowance", "days", "absent"),
    [
        (0.5, 56.0, 14, 0.0),
        (50.0, 56.0, 14, 8.0),
        (70.0, 56.0, 14, 28.0),
        (20.0, 28.0, 20, 40 - 30),  # 280 days of history become 300, of which the allowance is a tenth
        (50.0, 55.0, 30, 24.0),  # the allowance is 56 days at most
    ],
)
def test_absence_by_hand(since, allowance, days, absent):
    scenario = inactivity_scenario(NOBODY | {"days_since_last_act": since}, days, allowance)
    assert scenario.changes == {"days_of_absence": pytest.approx(absent)}
    assert scenario.consequences == {"days_since_last_act": since + days}


@pytest.mark.parametrize("days", [-1, 0, 366])
def test_days_out_of_range_are_refused(days):
    with pytest.raises(WhatIfError, match=rf"{days} days of inactivity cannot be simulated; expected 1 to 365"):
        inactivity_scenario(NOBODY, days, 56.0)
    with pytest.raises(WhatIfError, match="expected 1 to 365"):
        lost_responses(None, "me", "all", None, days, NOBODY, [])


@pytest.mark.parametrize(("account_age", "absent"), [(10.0, 0.0), (50.0, 8.0), (90.0, 48.0)])
def test_users_without_events_are_absent_since_the_account_began(account_age, absent):
    scenario = inactivity_scenario(NOBODY | {"days_since_last_act": np.nan, "account_age_days": account_age}, 14, 56.0)
    assert scenario.changes == {"days_of_absence": absent}
    assert np.isnan(scenario.consequences["days_since_last_act"])


def test_absence_without_events_matches_later_features(table):
    events = table([(0, "fan", "post", None, "p"), (70, "fan", "follow", "me"), (149, "fan", "post", None, "q")])
    now = pd.Timestamp("2025-05-31", tz="UTC").to_pydatetime()  # day 150
    before, later = (
        feature_rows(load_encoded_events(events), at).query("user == 'me'") for at in (now - timedelta(days=30), now)
    )
    allowance = 120 / 10
    assert before["days_of_absence"].iloc[0] == pytest.approx(50 - allowance)
    scenario = inactivity_scenario(feature_row(before), 30, allowance)
    assert scenario.changes["days_of_absence"] == pytest.approx(later["days_of_absence"].iloc[0])


def test_absence_matches_later_features(simulated):
    """In a community that continues while one user is inactive, the later row has the predicted absence."""
    events = open_events(simulated.events)
    now = feature_rows(load_encoded_events(simulated.events), simulated.as_of - timedelta(days=60)).set_index(
        "user", drop=False
    )
    user = now["acts_365d"].idxmax()
    row = now.loc[[user]]
    mine = (events.actor == user).fill_null(False)
    cut = simulated.as_of - timedelta(days=60)
    stays = events.filter(~(mine & (events.time >= ibis.literal(cut, type="timestamp('UTC')"))))
    later = feature_rows(load_encoded_events(stays), simulated.as_of).set_index("user", drop=False).loc[[user]]
    absent = now[now["days_of_absence"] > 0]
    allowance = float((absent["days_since_last_act"] - absent["days_of_absence"]).median())
    scenario = inactivity_scenario(feature_row(row), 60, allowance)
    assert later["days_of_absence"].iloc[0] > 1
    assert scenario.changes["days_of_absence"] == pytest.approx(later["days_of_absence"].iloc[0], abs=1e-6)
    assert scenario.consequences["days_since_last_act"] == pytest.approx(later["days_since_last_act"].iloc[0], abs=1e-6)


@pytest.fixture(scope="module")
def active_row(rows):
    """The row of the user who posted most recently."""
    return rows.loc[[rows["created_28d"].idxmax()]]


class TestLostResponses:
    def test_responses_to_new_pieces_are_removed(self, simulated, active_row):
        user = active_row["user"].iloc[0]
        result = lost_responses(
            open_events(simulated.events), user, "all", simulated.as_of, 14, feature_row(active_row), []
        )
        assert not set(result) & {"days_of_absence", "days_since_last_act"}
        assert "created_28d" in result
        assert any(name in SCORED for name in result)
        for name in ("engagers_7d", "engagers_28d", "engagers_365d", "engagements_365d"):
            assert result.get(name, active_row[name].iloc[0]) <= active_row[name].iloc[0]

    def test_other_events_are_refused(self, simulated, active_row):
        user = active_row["user"].iloc[0]
        other = active_row.assign(followers=active_row["followers"] + 3)
        with pytest.raises(
            WhatIfError, match=r"not made of these events: they give followers 0, not 3\. .* or score anew"
        ):
            lost_responses(open_events(simulated.events), user, "all", simulated.as_of, 14, feature_row(other), [])

    def test_events_without_the_user_are_refused(self, simulated, active_row):
        with pytest.raises(
            WhatIfError, match="snapshot of 'stranger' was not made of these events: they do not contain this user"
        ):
            lost_responses(
                open_events(simulated.events), "stranger", "all", simulated.as_of, 14, feature_row(active_row), []
            )

    def test_events_without_any_remaining_are_refused(self, table):
        acts = table([(29, "me", "post", None, "p"), (29, "fan", "post", None, "q"), (3, "fan", "post", None, "r")])
        as_of = pd.Timestamp("2025-01-31", tz="UTC").to_pydatetime()
        row = feature_rows(load_encoded_events(acts), as_of).query("user == 'me'")
        with pytest.raises(WhatIfError, match="without the last 14 days nothing is known about 'me'"):
            lost_responses(open_events(acts), "me", "all", as_of, 14, feature_row(row), [])


AS_OF = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=30)
REMAINING = [
    (5, "me", "post", None, "old"),
    (21, "fan", "like", "me", "old"),  # a response to an older post
    (22, "fan", "follow", "me", None),
    (23, "fan", "mention", "me", "new"),  # mentions remain, in any post
    (24, "fan", "post", None, "theirs"),
    (25, None, "like", "me", None),
]
REMOVED = [
    (20, "me", "post", None, "new"),
    (21, "me", "like", "fan", "theirs"),
    (22, "fan", "like", "me", "new"),
    (29, None, "dislike", "me", "new"),
]


def event_rows(events):
    return sorted(events.select("time", "actor", "verb", "object").to_pandas().astype(str).itertuples(index=False))


class TestRemoveRecentActivity:
    def test_recent_activity_is_removed_by_hand(self, table):
        events = open_events(table(REMAINING + REMOVED))
        assert event_rows(remove_recent_activity(events, ["me"], AS_OF, 10)) == event_rows(
            open_events(table(REMAINING))
        )

    def test_zero_days_remove_nothing(self, table):
        events = open_events(table(REMAINING + REMOVED))
        assert event_rows(remove_recent_activity(events, ["me"], AS_OF, 0)) == event_rows(events)

    def test_fewer_days_remove_fewer_events(self, table):
        events = open_events(table(REMAINING + REMOVED))
        remaining = remove_recent_activity(events, ["me"], AS_OF, 9)
        assert event_rows(remaining) == event_rows(open_events(table([*REMAINING, REMOVED[0], *REMOVED[2:]])))

    def test_responses_to_created_replies_are_removed(self, table):
        acts = table(
            [
                (20, "me", "reply", "fan", "theirs"),
                (21, "fan", "like", "me", "mine"),
                (22, "a", "like", "fan", "theirs"),
            ]
        )
        acts = acts.append_column("result", [["mine", None, None]])
        remaining = remove_recent_activity(open_events(acts), ["me"], AS_OF, 10).to_pandas()
        assert remaining[["actor", "object"]].to_numpy().tolist() == [["a", "theirs"]]
