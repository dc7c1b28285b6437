"""What-if page: sliders for the features a user controls; moving one loads only the outcome."""

import pytest

from serving.pages.user_what_if import what_if_view
from serving.review.what_if import simulate_change
from serving.snapshots.repository import open_snapshot


@pytest.fixture
def snapshot(home):
    return open_snapshot(home)


def test_sliders_start_at_the_values_of_the_user(snapshot, monkeypatch):
    row = snapshot.feature_row("user0001")
    view = what_if_view(snapshot, "user0001", "all", {})
    assert row["days_of_absence"] == 0
    assert "days_of_absence" not in {slider.name for slider in view.sliders}
    monkeypatch.setattr(type(snapshot), "feature_row", lambda *_: row | {"days_of_absence": 20.4})
    view = what_if_view(snapshot, "user0001", "all", {})
    assert {slider.name: (slider.present, slider.most) for slider in view.sliders}["days_of_absence"] == (20, 20)
    assert view.result is None
    assert view.suggestions is not None


def test_an_unknown_count_does_not_affect_the_other_sliders(snapshot, monkeypatch):
    row = snapshot.feature_row("user0001")
    monkeypatch.setattr(type(snapshot), "feature_row", lambda *_: row | {"created_90d": float("nan")})
    assert "away_days" in {slider.name for slider in what_if_view(snapshot, "user0001", "all", {}).sliders}


def test_moved_sliders_show_the_prediction_of_the_model(snapshot):
    view = what_if_view(
        snapshot, "user0001", "all", {"days_of_absence": "0", "away_days": "10"}, with_suggestions=False
    )
    expected = simulate_change(snapshot, "user0001", "all", {"days_of_absence": 0.0}, 10)
    assert view.result.asked.score == pytest.approx(expected.asked.score)
    assert view.suggestions is None


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "٣", "999999", "1.5"])
def test_invalid_values_do_not_move_a_slider(snapshot, text):
    view = what_if_view(snapshot, "user0001", "all", {"away_days": text}, with_suggestions=False)
    assert view.result is None
    assert view.problem is None


def test_too_little_evidence_is_reported(snapshot):
    assert "has no score" in what_if_view(snapshot, "user0003", "all", {}).problem


def test_moving_a_slider_loads_only_the_outcome(client):
    answer = client.get("/u/user0001?part=outcome&away_days=30")
    assert answer.text.startswith('<div id="outcome"')
    assert "would be" in answer.text
    page = client.get("/u/user0001?part=what-if&away_days=30")
    assert 'id="outcome"' in page.text
    assert "would be" in page.text
