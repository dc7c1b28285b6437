import dataclasses
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.errors import AsOfError, ConfigError, EventsError, ScopeError, TooSmallError
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from training.config import Config, Credibility, Evaluation, Model, Outcome, Panel
from training.evaluation.metrics import RANKING
from training.explanation.reasons import INSUFFICIENT, evidence
from training.fit import fit
from training.home import Home
from training.model.bundle_files import BOOSTER_FILE, BOUNDED_FILE, FACTS_FILE, save_bundle
from training.model.scale import Scale
from training.model_selection.ablation import VARIANTS
from training.registry.model_registry import load_champion, promote, register
from training.registry.run_documents import report
from training.release.gate import GateError
from training.release.release_candidate import release
from training.train import TrainOptions, train

SMALL = Config(outcome=Outcome(horizon_days=7), panel=Panel(cutoffs=2), evaluation=Evaluation(resamples=20))


@pytest.fixture(scope="module")
def retrained_with_later_events(simulated, config, tmp_path_factory, train_and_release):
    """The same training with absurd events at and after the instant, and rows in another order."""
    events = simulated.events
    absurd = [
        {"time": simulated.as_of + timedelta(hours=k // 50), "actor": f"bot{k}", "verb": "follow", "target": "u0000001"}
        for k in range(3_000)
    ]
    mixed = pa.concat_tables([pa.Table.from_pylist(absurd, schema=events.schema), events])
    steps = []
    home = Home(tmp_path_factory.mktemp("again"))
    mixed = mixed.take(np.random.default_rng(0).permutation(len(mixed)))
    return train_and_release(mixed, config, home, simulated.as_of, lambda *step: steps.append(step)), home, steps


@pytest.fixture(scope="module")
def second(retrained_with_later_events, simulated, config, train_and_release):
    """A second model in the same home, and the splits it was fitted on, the one of the backtest last."""
    first, home, _ = retrained_with_later_events
    splits = []

    def recording_fit(panel, split, *rest):
        splits.append(split)
        return fit(panel, split, *rest)

    other = config.model_copy(update={"model": Model(trees=20, seed=5), "panel": Panel(cutoffs=2)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.train.fit", recording_fit)
        patch.setattr("training.backtest.fit", recording_fit)
        return (
            first,
            train_and_release(simulated.events, other, home, simulated.as_of - timedelta(days=9)),
            home,
            splits,
        )


class TestFigures:
    def test_the_score_beats_follower_counts(self, trained):
        metrics = trained.evaluation.metrics
        assert metrics["score"]["auc"] > metrics["followers"]["auc"] + 0.05
        assert 0.7 < metrics["score"]["auc"] < 0.99
        assert 0.7 < metrics["score"]["total"] < 1.4
        assert metrics["score"]["coverage"] > trained.bundle.intervals.level - 0.05

    def test_the_score_ranks_users_by_true_reach(self, trained, rows, simulated):
        """Users who are still present, ranked by score and by the reach that the simulation gave them."""
        scores = trained.bundle.predict(rows)["unclipped"].set_axis(rows["user"])
        truth = simulated.truth.loc[scores.index]
        there = (truth["left"].isna() | (truth["left"] > simulated.as_of)).to_numpy()
        assert scores[there].corr(truth["reach"][there], method="spearman") > 0.5

    def test_the_scale_is_anchored_on_active_users(self, trained, rows):
        active = trained.bundle.predict(rows)["score"][rows["acts_365d"] > 0]
        assert active.median() == pytest.approx(20, abs=4)
        assert active.quantile(0.95) == pytest.approx(50, abs=5)

    def test_the_evaluation_is_out_of_time(self, trained, simulated):
        facts = trained.bundle.facts
        horizon = timedelta(days=28)
        assert facts["as_of"] == simulated.as_of.isoformat()
        assert facts["calibration_cutoff"] == (simulated.as_of - horizon).isoformat() == trained.evaluation.as_of
        assert facts["training_cutoffs"] == [(simulated.as_of - k * horizon).isoformat() for k in (3, 2, 1)]
        assert facts["rows"] > 1_000

    def test_groups_of_users_are_evaluated(self, trained):
        slices = trained.evaluation.slices
        assert {group.grouping for group in slices} >= {"people expected", "account age", "evidence"}
        everybody = trained.evaluation.metrics["score"]
        for grouping in {group.grouping for group in slices}:
            groups = [group for group in slices if group.grouping == grouping]
            assert sum(group.users for group in groups) == trained.evaluation.users
            inside = sum(group.coverage * group.users for group in groups) / trained.evaluation.users
            assert inside == pytest.approx(everybody["coverage"])

    def test_top_users_remain_on_top_more_often_than_by_chance(self, trained):
        retention = trained.evaluation.retention
        assert retention.users[1] == trained.evaluation.users
        assert 0.7 < retention.spearman < 1
        for row in retention.top:
            assert row.users > 0
            assert 2 * row.share < row.retained <= 1 - row.departed

    def test_a_first_model_that_passes_is_promoted(self, trained):
        assert trained.verdict.passed
        assert trained.promoted
        assert trained.champion_before is None


def test_an_ablation_is_measured_if_requested(simulated, config, tmp_path, train_and_release):
    small = config.model_copy(update={"model": Model(trees=10)})
    result = train_and_release(simulated.events, small, Home(tmp_path), simulated.as_of, ablation=True)
    assert [row.variant for row in result.evaluation.ablation] == list(VARIANTS)
    assert report(Home(tmp_path), result.version)["ablation"] == [row.as_json() for row in result.evaluation.ablation]


class TestNoLeak:
    def test_later_events_do_not_change_bundle_and_figures(self, trained, retrained_with_later_events, tmp_path):
        for name, bundle in (("one", trained.bundle), ("other", retrained_with_later_events[0].bundle)):
            save_bundle(bundle, tmp_path / name)
        for file in (BOOSTER_FILE, BOUNDED_FILE, FACTS_FILE):
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
        assert retrained_with_later_events[0].evaluation == trained.evaluation
        assert retrained_with_later_events[0].verdict == trained.verdict

    def test_progress_is_reported_step_by_step(self, retrained_with_later_events):
        messages = retrained_with_later_events[2]
        steps = list(dict.fromkeys(step for step, _ in messages))
        assert steps == ["panel", "fit", "fingerprint", "backtest", "selection", "churn", "attacks", "register"]
        for name in steps:
            shares = [share for step, share in messages if step == name]
            assert shares == sorted(shares)
            assert shares[-1] == 1.0


class TestRetrain:
    def test_the_scale_stays_and_the_model_changes(self, second):
        first, retrained, *_ = second
        assert retrained.version == "2"
        assert retrained.bundle.scale == first.bundle.scale
        assert retrained.bundle.booster_text != first.bundle.booster_text

    def test_the_backtest_is_not_trained_on_its_horizon(self, second):
        _, retrained, _, (final, backtested) = second
        judged_from = datetime.fromisoformat(retrained.evaluation.as_of)
        assert backtested.newest + timedelta(days=28) == judged_from == final.newest
        assert final.newest + timedelta(days=28) == datetime.fromisoformat(retrained.bundle.facts["as_of"])

    def test_the_champion_is_compared_on_the_same_users(self, second):
        """The champion was trained on a later horizon, and the findings say so."""
        first, retrained, *_ = second
        assert retrained.champion_before == first.version == "1"
        met = retrained.evaluation.champion
        assert (met.version, met.in_sample) == ("1", True)
        messages = {finding.name: finding for finding in retrained.verdict.findings}
        for metric in RANKING:
            ours = retrained.evaluation.metrics["score"][metric]
            assert met.margins[metric].champion + met.margins[metric].margin == pytest.approx(ours)
            assert messages[f"champion_{metric}"].passed is not False
            assert "was trained on this horizon" in messages[f"champion_{metric}"].message

    def test_churn_is_measured_against_the_champion(self, second, simulated):
        first, retrained, *_ = second
        churn = retrained.measured.churn
        rows = feature_rows(load_encoded_events(simulated.events), simulated.as_of - timedelta(days=9))
        active = rows[(rows["acts_365d"] > 0) & (evidence(rows) != INSUFFICIENT)]
        moved = retrained.bundle.predict(active)["score"] - first.bundle.predict(active)["score"]
        assert (churn.version, churn.users) == ("1", len(active))
        assert churn.share == pytest.approx((moved.abs() > 5).mean())
        assert len(churn.largest) == 10

    def test_the_gate_decides_the_champion(self, second):
        _, retrained, home, _ = second
        assert retrained.promoted == retrained.verdict.passed
        assert load_champion(home)[1] == ("2" if retrained.promoted else "1")


def test_a_blank_reason_is_refused_before_the_training(tmp_path):
    with pytest.raises(GateError, match="blank reason"):
        release(None, Home(tmp_path), force=" ")
    assert list(tmp_path.iterdir()) == []


class TestScale:
    @pytest.fixture
    def retrained(self, simulated, train_and_release):
        return partial(self.train, simulated, train_and_release)

    def train(self, simulated, train_and_release, config, home, **options):
        small = config.model_copy(update={"model": Model(trees=20, seed=7), "panel": Panel(cutoffs=2)})
        return train_and_release(simulated.events, small, home, simulated.as_of - timedelta(days=5), **options)

    def test_a_champion_of_another_catalogue_provides_its_scale(self, retrained, config, bundle, tmp_path):
        home = Home(tmp_path)
        other = dataclasses.replace(bundle, features={"klout": "0" * 12}, scale=Scale(31.0, 12.5))
        promote(home, register(home, other, {}, {}, {}, {}))
        result = retrained(config, home)
        assert result.bundle.scale == result.scale_before == Scale(31.0, 12.5)
        assert "trained on another catalogue" in result.evaluation.champion.reason
        assert result.measured.churn == result.evaluation.champion

    def test_rescaling_is_requested(self, retrained, config, retrained_with_later_events):
        _, home, _ = retrained_with_later_events
        before = load_champion(home)[0].scale
        result = retrained(config, home, rescale=True)
        assert result.scale_before == before != result.bundle.scale
        assert "has a new scale" in result.measured.churn.reason
        assert set(result.evaluation.champion.margins) == set(RANKING)

    def test_a_scale_is_only_for_one_horizon(self, retrained, config, retrained_with_later_events):
        other = config.model_copy(update={"outcome": Outcome(horizon_days=14)})
        with pytest.raises(ConfigError, match=r"within 28 days, and \[outcome\] horizon_days is 14.*--rescale"):
            retrained(other, retrained_with_later_events[1])


def test_unknown_seeds_are_refused(simulated, config):
    strangers = config.model_copy(update={"credibility": Credibility(seeds=("ann", "bob", "cid", "dan"))})
    messages = (
        r"none of the 4 seeds in \[credibility\] is a user in the events: ann, bob, cid, \.\.\.\. Give ids as they"
    )
    with pytest.raises(ConfigError, match=messages):
        train(load_encoded_events(simulated.events), strangers, options=TrainOptions(simulated.as_of))


def test_seeds_of_whom_some_are_unknown_are_a_warning(simulated, config, caplog):
    some = config.model_copy(update={"credibility": Credibility(seeds=("ann", "u0000001", "bob"))})
    with pytest.raises(AsOfError):
        train(load_encoded_events(simulated.events), some, options=TrainOptions(simulated.as_of - timedelta(3_000)))
    (message,) = caplog.messages
    assert message.startswith("2 of the 3 seeds in [credibility] are not users in the events: ann, bob.")


def test_a_scope_without_users_is_refused(simulated, config):
    scoped = config.model_copy(update={"panel": Panel(scopes=("all", "topic:nowhere"))})
    with pytest.raises(ScopeError, match=r"the scope topic:nowhere has no users: the events have topic:topic"):
        train(load_encoded_events(simulated.events, scoped.panel.scopes), scoped, options=TrainOptions(simulated.as_of))


def test_an_ablation_without_older_cutoffs_is_refused_before_anything_is_fitted(simulated, config, monkeypatch):
    monkeypatch.setattr("training.train.fit", None)
    short = config.model_copy(update={"panel": Panel(cutoffs=2)})
    with pytest.raises(TooSmallError, match="an ablation is evaluated on cutoffs with two older ones"):
        train(load_encoded_events(simulated.events), short, options=TrainOptions(simulated.as_of, ablation=True))


def test_the_shortest_usable_history(simulated, config):
    """Two and a half horizons: the backtest has one cutoff, and its intervals are fitted on other users."""
    first = pc.min(simulated.events["time"]).as_py()
    result = train(load_encoded_events(simulated.events), config, options=TrainOptions(first + timedelta(days=70)))
    assert len(result.bundle.facts["training_cutoffs"]) == 2
    assert result.evaluation.metrics["score"]["auc"] > 0.6
    assert result.evaluation.metrics["score"]["coverage"] > 0.85


class TestTooSmall:
    def refused(self, table, acts, match, error=TooSmallError):
        with pytest.raises(error, match=match):
            train(load_encoded_events(table(acts)), SMALL)

    def test_a_handful_of_users_is_refused(self, table):
        acts = [(day, f"u{day % 5}", "like", f"u{(day + 1) % 5}") for day in range(60)]
        span = r"the events reach from 2025-01-01 to 2025-03-01"
        self.refused(table, acts, f"the community is too small to train on: {span}, and the older cutoffs hold 5 rows")

    def test_a_week_of_events_is_refused(self, table):
        acts = [(k / 100, f"u{k % 300}", "like", f"u{k % 299}") for k in range(700)]
        self.refused(table, acts, r"training with a horizon of 7 days needs two and a half horizons, 17.5 days")

    def test_one_actor_is_refused(self, table):
        acts = [(k / 10, "a", "like", f"u{k % 300}") for k in range(600)]
        self.refused(table, acts, "the median active user and the 95th percentile have the same|nothing to learn")

    def test_events_without_engagement_are_refused(self, table):
        acts = [(k / 10, f"u{k % 300}", "post", None) for k in range(600)]
        self.refused(table, acts, r"hold 300 rows of a user at an instant, 0 of them with an audience")

    def test_a_recently_silent_community_is_refused(self, table):
        acts = [(k / 10, f"u{k % 300}", "like" if k < 500 else "post", f"u{k % 299}") for k in range(600)]
        self.refused(table, acts, r"nobody drew an audience in the 7 days from 2025-0\d-\d\d or before")

    def test_no_events_are_refused(self, table):
        self.refused(table, [], "the event table is empty", EventsError)


class TestAsOf:
    def test_an_instant_long_after_the_last_event_is_refused(self, simulated, config):
        with pytest.raises(AsOfError, match=r"the outcome is not known yet\. Take an instant"):
            train(
                load_encoded_events(simulated.events),
                config,
                options=TrainOptions(simulated.as_of + timedelta(days=30)),
            )

    def test_an_instant_before_the_first_event_is_refused(self, simulated, config):
        with pytest.raises(AsOfError, match="is not after the first event"):
            train(
                load_encoded_events(simulated.events),
                config,
                options=TrainOptions(simulated.as_of - timedelta(days=3_000)),
            )


def test_a_result_is_frozen(trained):
    with pytest.raises(dataclasses.FrozenInstanceError):
        trained.version = "7"
    assert isinstance(trained.bundle.predict(pd.DataFrame()), pd.DataFrame)
