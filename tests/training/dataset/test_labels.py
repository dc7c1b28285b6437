from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from features.errors import AsOfError
from features.events.event_table import ENGAGEMENTS
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from training.config import Config
from training.dataset.labels import (
    CREDIBLE_ENGAGERS,
    audience,
    audience_label,
    credible_audience,
    require_complete_horizon,
)
from training.dataset.panel import Split, build_panel, panel_rows
from training.fit import fit

AS_OF = datetime(2025, 1, 11, tzinfo=UTC)  # day 10 of the event tables
AFTER = 1 / 86_400


def audiences(table, acts, horizon_days=28):
    rows = audience(load_encoded_events(table(acts)), AS_OF, horizon_days)
    return dict(zip(rows["user"], rows["audience"], strict=True))


def test_the_horizon_is_half_open(table):
    acts = [(10 - AFTER, "a"), (10, "b"), (38 - AFTER, "c"), (38, "d"), (39, "e")]
    assert audiences(table, [(day, who, "like", "u") for day, who in acts]) == {"u": 2}
    assert audiences(table, [(day, who, "like", "u") for day, who in acts], 29) == {"u": 3}


def test_people_count_once_but_not_oneself_or_unknown_actors(table):
    acts = [(11, "a", "like"), (12, "a", "reply"), (13, None, "like"), (14, "u", "like"), (15, "b", "reply")]
    assert audiences(table, [(*act, "u") for act in acts]) == {"u": 2}


@pytest.mark.parametrize("verb", ENGAGEMENTS)
def test_every_engagement_counts_including_negative_ones(table, verb):
    assert audiences(table, [(11, "a", verb, "u")]) == {"u": 1}


@pytest.mark.parametrize("verb", ["post", "view", "wave"])
def test_other_verbs_do_not_count(table, verb):
    assert audiences(table, [(11, "a", verb, "u"), (11, "a", "like", None)]) == {}


def test_a_horizon_is_complete_if_at_most_a_day_is_missing():
    end = AS_OF + timedelta(days=28)
    require_complete_horizon(end - timedelta(days=1), AS_OF, 28)
    with pytest.raises(
        AsOfError,
        match=r"the horizon of 28 days from 2025-01-11 00:00 ends 2025-02-08 00:00, but the last event is of "
        r"2025-02-06 23:59 UTC: the outcome is not known yet. Take an instant 2 days earlier",
    ):
        require_complete_horizon(end - timedelta(days=1, seconds=1), AS_OF, 28)


class TestCredible:
    def test_without_established_users_all_responders_count(self, table):
        acts = [(11, "a", "like"), (12, "a", "reply"), (13, None, "like"), (14, "u", "like"), (15, "b", "reply")]
        ignored = [(16, "c", "follow"), (16, "d", "dislike"), (38, "e", "like")]
        rows = credible_audience(load_encoded_events(table([(*act, "u") for act in acts + ignored])), AS_OF, 28)
        assert rows.to_dict("records") == [{"user": "u", "scope": "all", "audience": 2.0}]

    def test_it_equals_the_feature_at_the_end_of_the_horizon(self, simulated):
        acts, start = load_encoded_events(simulated.events), simulated.as_of - timedelta(days=28)
        ahead = audience_label(acts, start, 28, CREDIBLE_ENGAGERS).set_index("user")["audience"]
        then = feature_rows(acts, simulated.as_of).set_index("user")["credible_engagers_28d"]
        assert 0 < ahead.sum() < audience_label(acts, start, 28)["audience"].sum()
        pd.testing.assert_series_equal(ahead[ahead > 0].sort_index(), then[then > 0].sort_index(), check_names=False)

    def test_a_model_is_fitted_to_it_and_records_it(self, simulated, config):
        acts, days = load_encoded_events(simulated.events), config.outcome.horizon_days
        split = Split(tuple(simulated.as_of - timedelta(days=days * k) for k in (3, 2, 1)))
        counts = Config.model_validate(config.model_dump() | {"outcome": {"label": CREDIBLE_ENGAGERS}})
        panel = build_panel(acts, split, days, label=CREDIBLE_ENGAGERS)
        assert fit(panel, split, counts).label == CREDIBLE_ENGAGERS
        fractional = panel_rows(acts, split.newest, days)["audience"].sum()
        assert panel.loc[panel["as_of"] == pd.Timestamp(split.newest), "audience"].sum() < fractional


def test_a_user_who_mentions_500_others_is_no_audience(table):
    crowd = [(11, "loud", "mention", f"u{k}") for k in range(500)] + [(11, "a", "like", "u7")]
    assert audiences(table, crowd)["u7"] == 2
    assert audiences(table, [*crowd, (12, "loud", "mention", "u500")]) == {"u7": 1}


def test_a_user_who_follows_500_others_is_no_audience(table):
    back = [(9, f"u{k}", "follow", "loud") for k in range(495)]
    assert audiences(table, [*back, *((11, "loud", "follow", f"u{k}") for k in range(501))]) == {}
    assert len(audiences(table, [*back, *((11, "loud", "follow", f"u{k}") for k in range(500))])) == 5


def test_a_follow_back_does_not_count(table):
    acts = [(5, "u", "follow", "a"), (11, "a", "follow", "u"), (11, "b", "follow", "u"), (12, "u", "follow", "b")]
    assert audiences(table, [*acts, (12, "c", "follow", "u")])["u"] == 1
    assert (
        audiences(table, [*acts, (12, "a", "like", "u"), (39, "u", "follow", "c"), (12, "c", "follow", "u")])["u"] == 2
    )
