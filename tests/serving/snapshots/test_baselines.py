"""Explanations of each scope of a snapshot are relative to its active users, in every answer."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from serving.review.feature_effects import feature_effects
from serving.review.score_change import change
from serving.review.what_if import simulate_change
from serving.scoring import score_rows, write_points
from serving.snapshots import baselines as module
from serving.snapshots.baselines import scope_baselines
from serving.snapshots.layout import BASELINES_FILE, sort_rows, write_checksums
from serving.snapshots.peers import absence_allowance
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from serving.snapshots.scored_rows import ScoredRows
from training.explanation.ledger import contributions
from training.home import Home
from training.model.baseline import is_active

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
EARLIER = AS_OF - timedelta(days=28)
SCOPES = {"network:a": 120, "topic:few": 25}


@pytest.fixture(scope="module")
def scoped(rows):
    """Users of all, of a network in which their features are half as large, and of a topic with few users."""
    everybody = rows[rows["scope"] == "all"]
    everybody = everybody.assign(days_of_absence=everybody["days_of_absence"].where(everybody.index % 3 == 0, 0.0))
    parts = [
        everybody.select_dtypes("number").head(size).div(2).assign(user=everybody["user"], scope=scope)
        for scope, size in SCOPES.items()
    ]
    return pd.concat([everybody, *(part[list(rows)] for part in parts)], ignore_index=True)


@pytest.fixture(scope="module")
def scoped_home(tmp_path_factory, bundle, scoped):
    home = Home(tmp_path_factory.mktemp("scoped"))
    write_snapshot(home, EARLIER, bundle, "3", score_rows(bundle, "3", scoped), scoped)
    other = replace(bundle, booster_text=bundle.booster.model_to_string(num_iteration=10))
    later = scoped.assign(days_of_absence=scoped["days_of_absence"] / 2)
    write_snapshot(home, AS_OF, other, "4", score_rows(other, "4", later), later)
    return home


@pytest.fixture(scope="module")
def snapshot(scoped_home):
    return open_snapshot(scoped_home)


def active_users(scoped, scope):
    of_scope = scoped[scoped["scope"] == scope]
    return of_scope.loc[is_active(of_scope), "user"]


@pytest.mark.parametrize("scope", ["all", "network:a"])
def test_lines_average_zero_over_the_active_users_of_the_scope(snapshot, scoped, scope):
    users = active_users(scoped, scope)
    explained = [snapshot.explain(user, scope) for user in users]
    for one in explained:
        assert one.base + sum(line.points for line in one.lines) == pytest.approx(one.unclipped, abs=1e-6)
    points = pd.DataFrame([{line.feature: line.points for line in one.lines} for one in explained]).fillna(0.0)
    assert np.abs(points.mean()).max() < 1e-6
    average = np.mean([one.unclipped for one in explained])
    assert [one.base for one in explained] == pytest.approx([average] * len(users), abs=1e-6)
    where = {"all": ""}.get(scope, f" of {scope}")
    says = f"the average of the {len(users)} users{where} active in the last "
    assert {one.baseline.startswith(says) for one in explained} == {True}
    assert {one.baseline.endswith(", as of 2017-07-30") for one in explained} == {True}
    scores = np.array([one.score for one in explained])
    for one in explained:
        below = (scores < one.score - 1e-9).mean()
        assert one.users_below <= below + 1e-9 < one.users_below + 0.001 + 1e-9


def test_scopes_with_few_active_users_are_compared_with_the_community(snapshot):
    assert set(snapshot.baselines) == {"all", "network:a"}
    assert snapshot.explain("user0001", "topic:few").baseline == snapshot.explain("user0001").baseline


def test_many_active_users_are_sampled_and_the_description_says_so(bundle, scoped, monkeypatch):
    monkeypatch.setattr(module, "MOST_AVERAGED", 50)
    scored = ScoredRows.of_frames(score_rows(bundle, "3", scoped), sort_rows(scoped))
    result = scope_baselines(bundle, scored, AS_OF)
    users = len(active_users(scoped, "all"))
    assert result["all"].description.startswith(f"the average of 50 of the {users} users active in the last ")


def test_baselines_are_the_same_from_rows_in_parts(bundle, scoped):
    rows = sort_rows(scoped)
    scored = ScoredRows.of_frames(score_rows(bundle, "3", scoped), rows)

    def read(names):
        return (batch.slice(start, 7) for batch in scored.read(names) for start in range(0, len(batch), 7))

    at_once, in_parts = (scope_baselines(bundle, rows_of, AS_OF) for rows_of in (scored, replace(scored, read=read)))
    assert at_once == in_parts
    for scope, baseline in at_once.items():
        users = rows[rows["scope"] == scope]
        assert baseline.users == is_active(users).sum()
        assert baseline.active_days == absence_allowance(users)
        active = users[is_active(users)]
        assert max(baseline.scores) == snapshot_score(scored, scope, active).max()
        assert {*baseline.percentiles} <= {*bundle.features} - {*bundle.bounded_features}
        assert "credible_engagers_decayed_28d" in baseline.percentiles
        for name, values in baseline.percentiles.items():
            assert values == sorted(values)
            assert values == [np.quantile(active[name], k / 100, method="inverted_cdf") for k in range(1, 101)]


def snapshot_score(scored, scope, users):
    scores = scored.frame(["user", "scope", "score"])
    return scores.loc[(scores["scope"] == scope) & scores["user"].isin(users["user"]), "score"]


def test_points_of_all_users_equal_those_of_single_explanations(scoped_home, scoped, tmp_path):
    snapshot = open_snapshot(scoped_home, EARLIER)
    write_points(snapshot.bundle, [scoped[:200], scoped[200:]], tmp_path / "points.parquet", snapshot.baselines)
    table = pd.read_parquet(tmp_path / "points.parquet")
    assert table[["user", "scope"]].to_numpy().tolist() == scoped[["user", "scope"]].to_numpy().tolist()
    for _, row in table[table["user"].isin(["user0002", "user0007"])].iterrows():
        one = snapshot.explain(row["user"], row["scope"])
        assert row["base"] == pytest.approx(one.base, abs=1e-9)
        lines = [part for line in one.lines for part in line.parts or (line,)]
        assert {line.feature: line.points for line in lines} == pytest.approx(
            {name: row[name] for name in snapshot.bundle.features if row[name] != 0}, abs=1e-9
        )


@pytest.mark.parametrize("scope", ["all", "network:a", "topic:few"])
def test_a_change_is_between_the_ledgers_of_the_scope(scoped_home, snapshot, scope):
    before = open_snapshot(scoped_home, EARLIER)
    one = change(before, snapshot, "user0002", scope)
    assert one.before.score + sum(line.points for line in one.lines) == pytest.approx(one.after.score, abs=1e-6)
    (start,) = [line for line in one.lines if line.part == "model" and line.feature is None]
    assert (start.before, start.after) == pytest.approx(
        (before.explain("user0002", scope).base, snapshot.explain("user0002", scope).base), abs=1e-6
    )


def test_what_if_gives_the_difference_of_two_ledgers(snapshot):
    scope, row = "network:a", snapshot.feature_row("user0001", "network:a")
    outcome = simulate_change(
        snapshot, "user0001", scope, {"responder_rate_365d": row["responder_rate_365d"] + 9}
    ).asked
    before, after = (
        contributions(snapshot.bundle, pd.DataFrame([values]), snapshot.baseline(scope)).iloc[0]
        for values in (row, row | {change.feature: change.after for change in outcome.changes})
    )
    assert outcome.gain > 0
    for moved in outcome.changes:
        assert moved.points == pytest.approx((after - before).get(moved.feature, 0.0), abs=1e-6)
    assert sum(change.points for change in outcome.changes) + outcome.other_lines + outcome.clipping == pytest.approx(
        outcome.gain, abs=1e-6
    )


def test_effects_in_the_community_are_relative_to_the_scope(snapshot):
    assert feature_effects(snapshot, "network:a").baseline == snapshot.explain("user0001", "network:a").baseline


def test_an_earlier_snapshot_is_explained_by_the_models_baseline(scoped_home, tmp_path):
    home = Home(shutil.copytree(scoped_home.folder, tmp_path / "home"))
    folder = list_snapshots(home)[0]
    (folder / BASELINES_FILE).unlink()
    write_checksums(folder)
    snapshot = open_snapshot(home)
    one = snapshot.explain("user0001", "network:a")
    assert one.baseline == snapshot.bundle.baseline.description
    assert one.base + sum(line.points for line in one.lines) == pytest.approx(one.unclipped, abs=1e-6)
