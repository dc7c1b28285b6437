"""Past outcomes: every scored user is compared once with the audience in the later snapshot."""

from datetime import timedelta

import numpy as np
import pytest

from serving.review.past_outcomes import past_outcomes, prediction_instant
from serving.scoring import score_rows
from serving.snapshots.repository import AbsentSnapshotError, open_snapshot, write_snapshot


@pytest.fixture
def home_with_earlier_snapshot(home, bundle, rows):
    """A home with an earlier snapshot, 28 days before, that lacks one user and has another one."""
    earlier = rows[rows["user"] != "user0010"].reset_index(drop=True)
    earlier.loc[earlier["user"] == "user0011", "user"] = "user0999"
    before = open_snapshot(home).as_of - timedelta(days=28)
    write_snapshot(home, before, bundle, "3", score_rows(bundle, "3", earlier), earlier)
    return home


def test_predictions_are_compared_with_audiences_of_the_later_snapshot(home_with_earlier_snapshot):
    after = open_snapshot(home_with_earlier_snapshot)
    before = open_snapshot(home_with_earlier_snapshot, prediction_instant(home_with_earlier_snapshot, after))
    outcomes = past_outcomes(before, after)
    expected, happened, inside = [], [], []
    for user in sorted(set(before.scores.column("user").to_pylist())):
        score = before.score(user)
        if score["status"] == "scored":
            is_there = bool(after.scores_by_user([user]))
            count = float(np.nan_to_num(after.feature_row(user)["engagers_28d"])) if is_there else 0.0
            expected.append(score["expected_audience"])
            happened.append(count)
            inside.append(score["low"] <= round(count) <= score["high"])
    assert outcomes.users == len(expected)
    assert outcomes.predicted == pytest.approx(sum(expected), rel=1e-5)
    assert outcomes.happened == pytest.approx(sum(happened))
    assert outcomes.coverage == pytest.approx(np.mean(inside))
    assert sum(band.users for band in outcomes.bands) == outcomes.users
    assert sum(band.users * band.happened for band in outcomes.bands) == pytest.approx(outcomes.happened)
    assert outcomes.is_forecast == (before.bundle.facts["as_of"] <= outcomes.as_of.replace("Z", "+00:00"))
    assert (outcomes.as_of, outcomes.counted_at) == ("2017-07-02T00:00:00Z", "2017-07-30T00:00:00Z")


def test_bands_contain_the_predictions_between_their_edges(home_with_earlier_snapshot):
    after = open_snapshot(home_with_earlier_snapshot)
    for band in past_outcomes(
        open_snapshot(home_with_earlier_snapshot, prediction_instant(home_with_earlier_snapshot, after)), after
    ).bands:
        assert band.low <= band.predicted
        assert band.high is None or band.predicted < band.high


def test_without_a_snapshot_one_horizon_before_there_is_no_comparison(home_with_earlier_snapshot):
    earlier = open_snapshot(
        home_with_earlier_snapshot,
        prediction_instant(home_with_earlier_snapshot, open_snapshot(home_with_earlier_snapshot)),
    )
    with pytest.raises(AbsentSnapshotError, match="no snapshot lies 28 days before 2017-07-02T00:00:00Z"):
        prediction_instant(home_with_earlier_snapshot, earlier)
