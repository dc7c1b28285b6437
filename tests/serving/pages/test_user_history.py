"""The history of a user: all snapshots in a table, new models marked, and predictions compared with outcomes."""

import math
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from features.utc import parse_utc
from serving.pages.user_history import history_view
from serving.snapshots.layout import BUNDLE_FOLDER, SCORES_FILE, folder_name
from serving.snapshots.repository import write_snapshot
from tests.serving.conftest import AS_OF
from training.model.bundle_files import FACTS_FILE


@pytest.fixture
def older(home, bundle, scores, rows):
    """A home with an additional earlier snapshot by another model."""
    earlier = AS_OF - timedelta(days=28)
    trained_before = replace(bundle, facts=bundle.facts | {"as_of": earlier.isoformat()})
    write_snapshot(home, earlier, trained_before, "2", scores.assign(model_version="2"), rows)
    return home


def test_points_are_placed_by_time_and_score_and_mark_a_new_model(older):
    first, second = history_view(older, "user0001", "all", 28).points
    assert (first.x, second.x) == (4.0, 96.0)
    assert second.y == pytest.approx(100 - second.score.score, abs=0.001)
    assert [first.is_new_model, second.is_new_model] == [False, True]
    assert (first.change, second.change) == (None, 0.0)
    assert second.before == first.score.as_of


def test_predictions_are_beside_outcomes(older):
    view = history_view(older, "user0001", "all", 28)
    assert (view.known, view.inside) == (1, int(view.predictions[0].prediction.inside))
    first, second = view.predictions
    for point in (first, second):
        interval, expected = point.prediction.score.interval, point.prediction.score.expected_audience
        assert interval.low <= math.floor(expected + 0.5) <= interval.high
        assert 0 <= point.high_y <= point.low_y <= 100
        assert 0 <= point.expected_y <= 100
    assert first.happened_y is not None
    assert second.happened_y is None


def test_a_single_snapshot_is_in_the_middle(home):
    (point,) = history_view(home, "user0001", "all", 28).points
    assert point.x == 50.0
    assert history_view(home, "user0003", "all", 28).predictions == ()


def test_the_page_says_how_many_predictions_came_true(client, older):
    page = client.get("/u/user0001").text
    assert re.search(r"<strong>[01] of 1</strong> earlier prediction held", page)
    assert "model 3" in page
    assert "not known yet" in page


def test_a_damaged_earlier_snapshot_leaves_the_rest_of_the_page(client, older):
    folder = older.snapshots / folder_name(AS_OF - timedelta(days=28), "2")
    (folder / BUNDLE_FOLDER / FACTS_FILE).unlink()
    page = client.get("/u/user0001")
    assert (page.status_code, "model 3" in page.text) == (200, True)
    (folder / SCORES_FILE).unlink()
    assert "1 snapshot cannot be read, so it is left out." in client.get("/u/user0001").text


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        (["2017-07-02T00:00:00Z"], "earlier prediction held: the people"),
        (
            ["2017-07-03T00:00:00Z"],
            "No earlier prediction can be judged: the model was trained later than the prediction ",
        ),
        (["2017-07-03T00:00:00Z", "2017-06-04T00:00:00Z"], "1 more does not count: the model was trained later"),
    ],
)
def test_predictions_of_a_model_that_knew_the_outcome_do_not_count(client, home, bundle, scores, rows, trained, said):
    for k, instant in enumerate(trained, 1):
        past = replace(bundle, facts=bundle.facts | {"as_of": instant})
        write_snapshot(home, AS_OF - timedelta(days=28 * k), past, "2", scores.assign(model_version="2"), rows)
    view = history_view(home, "user0001", "all", 28)
    assert (view.known, view.trained_later) == (
        sum(instant != "2017-07-03T00:00:00Z" for instant in trained),
        trained.count("2017-07-03T00:00:00Z"),
    )
    assert said in client.get("/u/user0001").text


def test_an_earlier_snapshot_links_to_the_newest(client, older):
    page = client.get("/u/user0001?as_of=2017-07-02T00:00:00Z").text
    assert "This is an earlier snapshot" in page
    assert 'href="/u/user0001">This is' in page


@pytest.mark.parametrize("step", [1, 7, 28])
def test_many_snapshots_are_thinned_to_fractions_of_a_horizon(home, monkeypatch, step):
    monkeypatch.setattr("serving.pages.user_history.MOST_SCORES", 5)
    (newest,) = home.snapshots.iterdir()
    for k in range(1, 40):
        (home.snapshots / folder_name(AS_OF - timedelta(days=step * k), "3")).symlink_to(newest)
    view = history_view(home, "user0001", "all", 28)
    times = [parse_utc(point.score.as_of) for point in view.points]
    assert times == [AS_OF - timedelta(days=max(step, 7) * k) for k in reversed(range(5))]
    assert (view.days_apart, view.trained_later) == (7.0, 4 if step == 28 else 1)


def test_a_page_with_few_snapshots_shows_them_all(home):
    assert history_view(home, "user0001", "all", 28).days_apart is None


def test_the_history_follows_a_rollback(home, bundle, scores, rows):
    write_snapshot(home, AS_OF, bundle, "4", scores.assign(model_version="4"), rows)
    for champion in ("3", "4"):
        (point,) = history_view(home, "user0001", "all", 28, champion).points
        assert point.score.model_version == champion
