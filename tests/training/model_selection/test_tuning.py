import dataclasses
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.catalogue import CATALOGUE
from features.errors import OutputError, TooSmallError
from training.cli import _training_json, add_to
from training.cli_output import print_training
from training.config import Config, Evaluation, Model, Panel, read_config
from training.evaluation.report_types import TrialRow, to_json
from training.home import Home
from training.model_selection.tuning import (
    SPACE,
    TRIALS,
    _suggest_model,
    _widen,
    cheapest_within_one_error,
    cost,
    fold_value,
    open_study,
    run_trial,
    study_name,
    trial_rows,
    tune,
    walk_forward,
)

CUTOFFS = tuple(datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=28 * k) for k in range(6))
USED = CUTOFFS[:-1]
BASE = Model(trees=12, depth=3, learning_rate=0.1, min_users_per_leaf=20, half_life=5.0)
SMALL_SPACE = {
    **SPACE,
    "trees": {"low": 2, "high": 12, "step": 2},
    "depth": {"low": 1, "high": 3},
    "learning_rate": {"low": 0.001, "high": 0.3, "log": True},
}


@pytest.fixture(autouse=True)
def small_space(monkeypatch):
    monkeypatch.setattr("training.model_selection.tuning.SPACE", SMALL_SPACE)


def rows(users, cutoff, seed):
    """Return users whose audience depends on two features; all other features are zero."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(0.0, index=range(users), columns=CATALOGUE.names)
    frame["credible_engagers_decayed_28d"] = rng.poisson(2, users).astype(float)
    frame["responder_rate_365d"] = rng.lognormal(1, 1, users).round()
    mean = np.exp(-2 + 0.3 * frame["credible_engagers_decayed_28d"] + 0.3 * np.log1p(frame["responder_rate_365d"]))
    names = [f"u{k}" for k in range(users)]
    return frame.assign(user=names, scope="all", as_of=pd.Timestamp(cutoff), audience=rng.poisson(mean))


@pytest.fixture(scope="module")
def panel():
    return pd.concat([rows(250, cutoff, seed) for seed, cutoff in enumerate(CUTOFFS)], ignore_index=True)


@pytest.fixture(scope="module")
def shares():
    return []


@pytest.fixture(scope="module")
def tuned(panel, shares):
    """The result of sixteen trials in one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.model_selection.tuning.SPACE", SMALL_SPACE)
        return tune(panel, USED, BASE, 16, progress=shares.append)


def with_absurd_values(panel, rows):
    """Make the given rows absurd: features reversed, audiences permuted and multiplied by 1,000."""
    worse = panel.copy()
    worse.loc[rows, CATALOGUE.names] = 1e6 - worse.loc[rows, CATALOGUE.names]
    worse.loc[rows, "audience"] = 1_000 * worse.loc[rows, "audience"].to_numpy()[::-1]
    return worse


class TestFolds:
    def test_a_fold_is_fitted_on_every_older_cutoff(self, panel):
        assert [(fold.older, fold.test) for fold in walk_forward(panel, USED)] == [
            (CUTOFFS[:k], CUTOFFS[k]) for k in (1, 2, 3, 4)
        ]
        assert [fold.test for fold in walk_forward(panel, CUTOFFS)] == list(CUTOFFS[2:])

    def test_a_cutoff_without_audience_is_for_training_only(self, panel):
        silent = panel.assign(audience=panel["audience"].where(panel["as_of"] != pd.Timestamp(CUTOFFS[1]), 0))
        folds = walk_forward(silent, CUTOFFS[:4])
        assert [(fold.older, fold.test) for fold in folds] == [(CUTOFFS[:2], CUTOFFS[2]), (CUTOFFS[:3], CUTOFFS[3])]

    def test_only_the_fold_and_older_rows_change_its_value(self, panel):
        for fold in walk_forward(panel, CUTOFFS):
            cutoff = pd.Timestamp(fold.test)
            value = fold_value(panel, fold, BASE)
            assert fold_value(with_absurd_values(panel, panel["as_of"] > cutoff), fold, BASE) == value
            for worse in (panel["as_of"] == cutoff, panel["as_of"] < cutoff):
                assert fold_value(with_absurd_values(panel, worse), fold, BASE) != value

    def test_training_rows_are_older_than_the_test_cutoff(self, panel, monkeypatch):
        from training.model_selection import tuning

        fitted, fit = [], tuning.fit_boosters
        monkeypatch.setattr(tuning, "fit_boosters", lambda limits, model: fitted.append(limits) or fit(limits, model))
        for fold in walk_forward(panel, USED):
            fold_value(panel, fold, BASE)
            assert fitted[-1]["as_of"].max() < pd.Timestamp(fold.test)
            assert len(fitted[-1]) == 250 * len(fold.older)

    def test_other_scopes_are_for_training_only(self, panel):
        fold = walk_forward(panel, USED)[0]
        other = panel.assign(scope="network:sea", audience=panel["audience"] * 50)
        cutoff = other["as_of"] == pd.Timestamp(fold.test)
        value = fold_value(panel, fold, BASE)
        assert fold_value(pd.concat([panel, other[cutoff]]), fold, BASE) == value
        assert fold_value(pd.concat([panel, other[~cutoff]]), fold, BASE) != value

    @pytest.mark.parametrize(("cutoffs", "counts"), [((), "0 of 0"), (CUTOFFS[:1], "1 of 1")])
    def test_too_few_cutoffs_are_refused(self, panel, tmp_path, cutoffs, counts):
        with pytest.raises(
            TooSmallError,
            match=rf"it needs two of them with an audience, and {counts} have one\. Bring more history, set a shorter "
            r"\[outcome\] horizon_days or more \[panel\] cutoffs, or train without --tune",
        ):
            tune(panel, cutoffs, BASE, 3, tmp_path / "home" / TRIALS)
        assert not (tmp_path / "home").exists()

    def test_a_panel_without_audience_is_refused(self, panel):
        with pytest.raises(TooSmallError, match="0 of 5 have one"):
            tune(panel.assign(audience=0), USED, BASE, 3)


class TestTrials:
    def test_the_first_trial_is_exactly_the_base(self, panel):
        base = BASE.model_copy(update={"learning_rate": 0.1 + 1e-12, "seed": 7})
        (row,) = tune(panel, USED[:2], base, 1).table
        assert row.parameters == base.model_dump(include=set(SPACE))
        assert tune(panel, USED[:2], base, 1).model == base
        assert row.folds == [fold_value(panel, walk_forward(panel, USED[:2])[0], base)]

    def test_other_trials_are_in_the_space_and_can_be_configured(self, tuned):
        assert tuned.table[0].parameters == BASE.model_dump(include=set(SPACE))
        for row in tuned.table[1:]:
            assert set(row.parameters) == set(SPACE)
            for name, value in row.parameters.items():
                assert SMALL_SPACE[name]["low"] <= value <= SMALL_SPACE[name]["high"]
                assert value == float(f"{value:.4g}")
        assert len({json.dumps(row.parameters) for row in tuned.table}) == 16

    def test_settings_outside_the_space_do_not_change(self):
        tried = []
        base = BASE.model_copy(update={"seed": 3})
        with open_study(None, "watched") as study:
            for _ in range(3):
                run_trial(study, base, [lambda model: tried.append(model) or 0.5], lambda _: None)
        assert [model.model_dump(exclude=set(SPACE)) for model in tried] == [
            {"half_life": 5.0, "bound": 0.1, "seed": 3}
        ] * 3
        assert tried[0] == base

    def test_values_are_means_of_the_folds(self, tuned):
        for row in tuned.table:
            if row.state == "finished":
                assert row.value == pytest.approx(np.mean(row.folds))
                assert len(row.folds) == 4
        assert json.loads(json.dumps(to_json(tuned.table), allow_nan=False)) == to_json(tuned.table)

    def test_a_trial_below_the_median_is_pruned_after_its_second_fold(self, tuned):
        assert 0 < tuned.pruned == 16 - tuned.finished
        first = tuned.table[0]
        for k, row in enumerate(tuned.table):
            ended = [before for before in tuned.table[:k] if before.state == "finished"]
            median = np.median([leads(before, first)[1:3] for before in ended], axis=0) if len(ended) >= 5 else [-9, -9]
            best = np.maximum.accumulate(leads(row, first)[1:3])
            behind = [folds for folds, (lead, limits) in enumerate(zip(best, median, strict=False), 2) if lead < limits]
            assert (row.state == "pruned") == bool(behind), row
            if behind:
                assert (row.value, len(row.folds)) == (None, behind[0])

    def test_the_choice_is_a_trial_not_worse_than_the_base(self, tuned):
        (row,) = [row for row in tuned.table if row.chosen]
        assert tuned.model == BASE.model_copy(update=row.parameters)
        assert tuned.model.model_dump(exclude=set(SPACE)) == {"half_life": 5.0, "bound": 0.1, "seed": 0}
        assert tuned.model != BASE
        assert row.trial == cheapest_within_one_error(tuned.table).trial
        best = max(row.value for row in tuned.table if row.value is not None)
        assert best >= tuned.table[0].value
        with pytest.raises(dataclasses.FrozenInstanceError):
            tuned.model = BASE

    @pytest.mark.usefixtures("tuned")
    def test_progress_rises_to_one(self, shares):
        assert shares[0] == 0.0
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert len(shares) > 2 * 16

    def test_the_newest_outcome_is_ignored(self, panel, tuned):
        newest = panel["as_of"] == pd.Timestamp(CUTOFFS[-1])
        for other in (with_absurd_values(panel, newest), panel[~newest]):
            assert tune(other, USED, BASE, 6).table == first_rows(tuned.table, 6)


def leads(row, first):
    leads = np.subtract(row.folds, first.folds[: len(row.folds)])
    return np.cumsum(leads) / np.arange(1, len(leads) + 1)


def first_rows(table, trials):
    pick = cheapest_within_one_error(table[:trials])
    return tuple(replace(row, chosen=row.trial == pick.trial) for row in table[:trials])


class TestResuming:
    def test_resumed_trials_equal_trials_at_once(self, panel, tuned, tmp_path):
        """Interrupted in the first and third trial, with a trial left open as by a kill; then resumed repeatedly."""
        file = tmp_path / "a home" / "not there yet" / TRIALS
        shares = []
        for done in (0, 2):
            with pytest.raises(KeyboardInterrupt):
                tune(panel, USED, BASE, 6, file, self.interrupt_after(done))
            with open_study(file, study_name(panel, USED, BASE)) as study:
                assert [trial.state.name for trial in study.trials].count("COMPLETE") == done
                _suggest_model(study.ask(), BASE)
        assert tune(panel, USED, BASE, 3, file).table == first_rows(tuned.table, 3)
        assert tune(panel, USED, BASE, 6, file, shares.append).table == first_rows(tuned.table, 6)
        assert shares[0] == 0.5
        for trials in (6, 2):
            shares.clear()
            assert tune(panel, USED, BASE, trials, file, shares.append).table == first_rows(tuned.table, 6)
            assert shares == [1.0]

    def interrupt_after(self, trials):
        def progress(share):
            if share * 6 > trials:
                raise KeyboardInterrupt

        return progress

    def test_open_trials_do_not_influence_later_ones(self):
        """More than the ten random trials, with values that need no fitting."""
        parameters = []
        for left_open in (0, 3):
            with open_study(None, "by hand") as study:
                for _ in range(14):
                    for _ in range(left_open):
                        _suggest_model(study.ask(), BASE)
                    run_trial(study, BASE, [lambda model: -model.learning_rate * model.depth], lambda _: None)
                parameters.append([row.parameters for row in trial_rows(study)])
        assert parameters[0] == parameters[1]
        assert len(parameters[0]) == 14

    def test_another_training_starts_a_new_study(self, panel):
        more = pd.concat([panel, panel[:1]])
        changed = panel.assign(audience=panel["audience"] + (panel.index == 3))
        of_other_seeds = panel.assign(responder_rate_365d=panel["responder_rate_365d"] * 2)
        others = [
            study_name(panel, USED, BASE),
            study_name(panel, CUTOFFS, BASE),
            study_name(panel, USED, BASE.model_copy(update={"seed": 1})),
            study_name(panel, USED, BASE.model_copy(update={"depth": 2})),
            study_name(more, USED, BASE),
            study_name(changed, USED, BASE),
            study_name(of_other_seeds, USED, BASE),
        ]
        assert len(set(others)) == len(others)
        assert study_name(panel.copy(), USED, BASE) == others[0]

    def test_a_damaged_file_is_reported(self, panel, tmp_path):
        (tmp_path / TRIALS).write_text("these are not trials, whatever the name of the file says" * 100)
        with pytest.raises(OutputError, match=r"trials cannot be stored in .*tuning\.db: .*\. Move that file away"):
            tune(panel, USED, BASE, 1, tmp_path / TRIALS)

    def test_a_folder_that_cannot_be_created_is_reported(self, panel, tmp_path):
        (tmp_path / "home").write_text("")
        with pytest.raises(OutputError, match=r"trials cannot be stored in .*home"):
            tune(panel, USED, BASE, 1, tmp_path / "home" / TRIALS)


def trial(number, folds, trees, depth, value=...):
    value = float(np.mean(folds)) if value is ... else value
    state = "pruned" if value is None else "finished"
    return TrialRow(number, state, value, folds, {"trees": trees, "depth": depth})


class TestChoice:
    def test_cost_by_hand(self):
        assert cost({"trees": 150, "depth": 4}) == 150 * 16 * 16
        assert cost({"trees": 100, "depth": 2}) == 100 * 4 * 4

    def test_within_one_standard_error_the_shallower_trial_is_chosen(self):
        best = trial(1, [0.52, 0.50, 0.54, 0.52], 300, 6)
        tied = trial(2, [0.50, 0.51, 0.53, 0.51], 100, 3)  # differences 2, -1, 1, 1 %: 0.0075 +- 0.0063
        assert cheapest_within_one_error([best, tied]).trial == 1
        tied = trial(2, [0.50, 0.51, 0.53, 0.516], 100, 3)  # differences 2, -1, 1, 0.4 %: 0.0060 +- 0.0063
        assert cheapest_within_one_error([best, tied]).trial == 2
        assert cheapest_within_one_error([tied, best]).trial == 2

    def test_a_consistent_lead_is_no_tie(self):
        assert cheapest_within_one_error([trial(1, [0.52, 0.53], 300, 6), trial(2, [0.519, 0.529], 50, 2)]).trial == 1

    def test_with_one_fold_the_stated_tolerance_is_used(self):
        best = trial(1, [0.5], 300, 6)
        assert cheapest_within_one_error([best, trial(2, [0.4981], 50, 2)]).trial == 2
        assert cheapest_within_one_error([best, trial(2, [0.4979], 50, 2)]).trial == 1

    def test_few_deep_trees_may_cost_more_than_many_shallow_ones(self):
        assert cheapest_within_one_error([trial(1, [0.5], 50, 6), trial(2, [0.499], 400, 2)]).trial == 2

    def test_equal_costs_are_decided_by_value_then_by_order(self):
        table = [trial(1, [0.499], 50, 2), trial(2, [0.4995], 50, 2), trial(3, [0.4995], 50, 2), trial(4, [0.5], 90, 2)]
        assert cheapest_within_one_error(table).trial == 2

    def test_pruned_trials_are_not_chosen(self):
        assert cheapest_within_one_error([trial(1, [0.5, 0.5], 90, 4), trial(2, [0.9], 50, 2, value=None)]).trial == 1


@settings(max_examples=50)
@given(value=st.integers(1, 10_000))
def test_the_steps_of_a_widened_range_include_the_base(value):
    limits = _widen(value, SPACE["trees"])
    assert (value - limits["low"]) % limits["step"] == (limits["high"] - limits["low"]) % limits["step"] == 0
    assert 1 <= limits["low"] <= value <= limits["high"]
    assert limits["low"] < 75
    assert limits["high"] > 375


def test_the_default_is_in_the_space():
    for name, limits in SPACE.items():
        assert _widen(getattr(Model(), name), limits) == limits


@pytest.fixture
def train_with_tuning(monkeypatch, tmp_path, simulated, train_and_release):
    """Train with two tuning trials, without plots or registry; return the model, tuning's input, reports and steps."""
    tunings, reports, steps = [], [], []

    def recording_tune(*args):
        tunings.append(args)
        return tune(*args)

    def recording_register(home, bundle, params, metrics, report, *_):
        reports.append(report)
        return "1"

    monkeypatch.setattr("training.train.tune", recording_tune)
    monkeypatch.setattr("training.model_selection.tuning.cheapest_within_one_error", lambda table: table[-1])
    monkeypatch.setattr("training.registry.model_registry.register", recording_register)
    monkeypatch.setattr("training.registry.model_registry.promote", lambda *_: None)
    config = Config(panel=Panel(cutoffs=3), model=Model(trees=10, depth=2), evaluation=Evaluation(resamples=20))
    version = train_and_release(
        simulated.events,
        config,
        Home(tmp_path),
        simulated.as_of,
        lambda *step: steps.append(step),
        trials=2,
        trials_file=tmp_path / TRIALS,
    )
    return version, tunings, reports, steps


def test_training_uses_the_chosen_settings(train_with_tuning, tmp_path, capsys):
    version, ((panel, cutoffs, base, trials, storage, _),), (report,), steps = train_with_tuning
    assert cutoffs[-1].isoformat() < version.evaluation.as_of == panel["as_of"].max().isoformat()
    assert (trials, storage) == (2, tmp_path / "tuning.db")
    assert storage.exists()
    assert version.tuned.model != base
    assert version.bundle.facts["config"]["model"] == version.tuned.model.model_dump()
    assert version.bundle.booster_text.count("\nTree=") == version.tuned.model.trees
    assert report["tuning"] == to_json(version.tuned.table)
    assert list(dict.fromkeys(step for step, _ in steps))[:2] == ["panel", "tune"]
    assert _training_json(version)["tuned"] == {"model": version.tuned.model.model_dump(), "finished": 2, "pruned": 0}
    print_training(version, Home(tmp_path))
    *_, printed_settings = capsys.readouterr().err.partition("For a clout.toml:\n")
    (tmp_path / "clout.toml").write_text(printed_settings)
    assert read_config(tmp_path / "clout.toml").model == version.tuned.model


def test_the_command_requires_at_least_one_trial():
    app = typer.Typer()
    add_to(app)
    refused = CliRunner().invoke(app, ["train", "events", "--tune", "0"])
    assert refused.exit_code == 2
    assert "'--tune'" in refused.output
