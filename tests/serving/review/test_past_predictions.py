"""Past predictions are compared with the outcome in a later snapshot, if one is at the end of the horizon."""

from datetime import timedelta

import pytest

from serving.review.history import history
from serving.review.past_predictions import past_predictions
from serving.snapshots.layout import BUNDLE_FOLDER, FEATURES_FILE
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from tests.serving.conftest import AS_OF
from training.model.bundle_files import FACTS_FILE


def write(home, bundle, scores, rows, days, version="3"):
    write_snapshot(home, AS_OF + timedelta(days=days), bundle, version, scores.assign(model_version=version), rows)


def predictions(home, user="user0001"):
    return past_predictions(home, history(home, user))


def test_a_prediction_is_compared_with_the_snapshot_at_the_end_of_its_horizon(home, bundle, scores, rows):
    write(home, bundle, scores, rows.assign(engagers_28d=7.0), bundle.horizon_days)
    first, last = predictions(home)
    assert (first.happened, first.counted_at) == (7.0, "2017-08-27T00:00:00Z")
    assert first.inside == (first.score.interval.low <= 7 <= first.score.interval.high)
    assert (last.happened, last.counted_at, last.inside) == (None, None, None)


@pytest.mark.parametrize(("days", "compared"), [(27, True), (29, True), (26, False), (30, False)])
def test_the_later_snapshot_may_be_a_day_off(home, bundle, scores, rows, days, compared):
    write(home, bundle, scores, rows, days)
    assert (predictions(home)[0].happened is not None) == compared


def test_the_nearest_of_two_snapshots_is_used(home, bundle, scores, rows):
    write(home, bundle, scores, rows.assign(engagers_28d=1.0), 27.5)
    write(home, bundle, scores, rows.assign(engagers_28d=2.0), 28.1)
    assert predictions(home)[0].happened == 2.0


def test_a_user_absent_from_the_later_snapshot_had_no_audience(home, bundle, scores, rows):
    write(home, bundle, *(frame[frame["user"] != "user0001"] for frame in (scores, rows)), 28)
    assert predictions(home)[0].happened == 0.0


def test_a_snapshot_without_the_feature_gives_no_outcome(home, bundle, scores, rows):
    write(home, bundle, scores, rows.drop(columns="engagers_28d"), 28)
    assert predictions(home)[0].happened is None


def test_a_snapshot_with_an_unknown_count_gives_no_outcome(home, bundle, scores, rows):
    write(home, bundle, scores, rows.assign(engagers_28d=float("nan")), 28)
    assert predictions(home)[0].happened is None


def test_a_damaged_later_snapshot_gives_no_outcome(home, bundle, scores, rows):
    write(home, bundle, scores, rows.assign(engagers_28d=7.0), bundle.horizon_days)
    (list_snapshots(home)[0] / FEATURES_FILE).unlink()
    first, last = predictions(home)
    assert (first.happened, first.counted_at, first.inside) == (None, None, None)
    assert last.score.as_of == "2017-08-27T00:00:00Z"


def test_a_prediction_whose_model_is_damaged_is_omitted(home, bundle, scores, rows):
    write(home, bundle, scores, rows, bundle.horizon_days)
    (list_snapshots(home)[-1] / BUNDLE_FOLDER / FACTS_FILE).unlink()
    (only,) = predictions(home)
    assert only.score.as_of == "2017-08-27T00:00:00Z"


def test_too_little_evidence_predicts_nothing(home):
    assert predictions(home, "user0003") == ()


def test_a_model_trained_on_later_events_gives_no_forecast(home, bundle, scores, rows):
    trained = open_snapshot(home).bundle.facts["as_of"]
    assert predictions(home)[0].is_forecast == (trained <= "2017-07-30T00:00:00Z")
    write(home, bundle, scores, rows, -400, "2")
    assert not predictions(home)[0].is_forecast


def test_users_in_every_row_group_are_read_from_the_right_row(home, bundle, scores, rows):
    write(home, bundle, scores, rows.assign(engagers_28d=[float(k) for k in range(len(rows))]), 28)
    later = open_snapshot(home)
    compared = 0
    for user in rows["user"].unique()[::20]:
        for prediction in predictions(home, user)[:1]:
            assert prediction.happened == later.feature_row(user)["engagers_28d"]
            compared += 1
    assert compared > 5
