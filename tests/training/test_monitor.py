import dataclasses
import json
import math
import sys
from datetime import datetime, timedelta

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.errors import AsOfError, RegistryError
from features.events.event_table import ENGAGEMENTS
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from features.feature_table import feature_rows
from serving.cli.main import app, main
from training.config import Config, Evaluation
from training.config import Monitor as Limits
from training.dataset.panel import in_scope
from training.evaluation.metrics import RANKING
from training.evaluation.report import BaselineLead, EvaluationReport, to_json
from training.monitor import CLOCKS, check_reference, drift, drift_checks, metrics_of, monitor, psi, realised_checks
from training.registration import report_document
from training.registry.run_documents import report

QUICK = Config(evaluation=Evaluation(resamples=20))
HORIZON = timedelta(days=28)
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def typed(home, *words):
    return CliRunner().invoke(app, ["monitor", *(str(word) for word in words), "--home", str(home.folder)])


def alarms(rows, bundle, limits=QUICK.monitor):
    return [check.told for check in drift_checks(drift(rows, bundle, limits), limits) if check.past]


def used_features(bundle):
    """The features by their share of the gain, highest first."""
    gain = bundle.booster.feature_importance("gain")
    return [list(bundle.features)[k] for k in np.argsort(-gain)]


@pytest.fixture(scope="module")
def rows_then(bundle, simulated):
    """Everybody's features at the very instant of the reference."""
    at = datetime.fromisoformat(bundle.facts["reference"]["as_of"])
    return in_scope(feature_rows(load_encoded_events(simulated.events), at), ALL)


@pytest.fixture(scope="module")
def end(simulated):
    """Just after the last event, ten days after the model was made."""
    return pc.max(simulated.events["time"]).as_py().replace(microsecond=0) + timedelta(seconds=1)


@pytest.fixture(scope="module")
def earlier(bundle, end):
    """The model as if it had been made a horizon before the end, so that there is something to judge it on."""
    return dataclasses.replace(bundle, facts={**bundle.facts, "as_of": (end - HORIZON).isoformat()})


@pytest.fixture(scope="module")
def found(earlier, simulated):
    """The report of the whole community."""
    return monitor(load_encoded_events(simulated.events), earlier, config=QUICK)


@pytest.fixture(scope="module")
def silenced(simulated, end, tmp_path_factory):
    """A file of the events in which, for the last 28 days, people act and hardly anybody engages with them."""
    events = simulated.events
    late = pc.greater_equal(events["time"], pa.scalar(end - HORIZON, events["time"].type))
    heard = pc.and_(late, pc.is_in(events["verb"], value_set=pa.array(ENGAGEMENTS)))
    few = np.random.default_rng(0).random(len(events)) < 0.02
    file = tmp_path_factory.mktemp("silenced") / "events.parquet"
    pq.write_table(events.filter(pc.or_(pc.invert(heard), pa.array(few))), file)
    return file


class TestPsi:
    def test_two_bins_by_hand(self):
        by_hand = (0.5 - 0.8) * math.log(0.5 / 0.8) + (0.5 - 0.2) * math.log(0.5 / 0.2)
        assert psi(np.array([0.5, 0.5]), np.array([0.8, 0.2])) == pytest.approx(by_hand)

    def test_an_empty_bin_counts_as_one_in_ten_thousand(self):
        by_hand = (1 - 0.5) * math.log(1 / 0.5) + (1e-4 - 0.5) * math.log(1e-4 / 0.5)
        assert psi(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(by_hand)

    @given(SHARES, SHARES)
    def test_never_negative_zero_for_the_same_and_equal_both_ways(self, one, other):
        one, other = np.array(one), np.array(other)
        assert psi(one, one) == 0
        assert psi(one, other) >= 0
        assert psi(one, other) == pytest.approx(psi(other, one))


class TestDrift:
    def test_the_same_community_has_none(self, bundle, rows_then):
        found = drift(rows_then, bundle, QUICK.monitor)
        assert found["score"]["psi"] == pytest.approx(0, abs=1e-6)
        assert found["score"]["live"] == found["score"]["reference"]
        assert found["level"]["ratio"] == pytest.approx(1, abs=1e-6)
        assert found["users"] == found["reference_users"] == len(rows_then)
        assert max(feature["psi"] for feature in found["features"]) == pytest.approx(0, abs=1e-6)
        assert {feature["status"] for feature in found["features"]} == {"stable"}
        assert alarms(rows_then, bundle) == []

    def test_weights_are_shares_of_the_gain(self, bundle, found):
        weights = {feature["feature"]: feature["weight"] for feature in found["features"]}
        assert sum(weights.values()) == pytest.approx(1)
        assert max(weights, key=weights.get) == used_features(bundle)[0]
        assert set(weights) == set(bundle.features)

    def test_a_feature_that_grows_for_half_of_the_users_is_named(self, bundle, rows_then):
        name = used_features(bundle)[0]
        half = np.arange(len(rows_then)) % 2 == 0
        (told,) = alarms(rows_then.assign(**{name: rows_then[name].mask(half, 9 * rows_then[name] + 9)}), bundle)[-1:]
        assert told.startswith(f"{name} has a PSI of ")
        assert told.endswith("of the gain")

    def test_a_feature_that_goes_unknown_is_named(self, bundle, rows_then):
        name = used_features(bundle)[1]
        altered = rows_then.assign(**{name: np.nan})
        (told,) = [each for each in alarms(altered, bundle) if name in each]
        assert told.endswith("of the gain, unknown for 100% of users (0% in training)")
        top = drift(altered, bundle, QUICK.monitor)["features"][0]
        assert (top["feature"], top["status"], top["alarm"]) == (name, "changed", True)
        assert (top["unknown_live"], top["unknown_reference"]) == (1.0, 0.0)

    def test_a_feature_that_the_model_does_not_use_alarms_nobody(self, bundle, rows_then):
        name = used_features(bundle)[-1]
        altered = rows_then.assign(**{name: 1e6})
        assert alarms(altered, bundle) == []
        found = drift(altered, bundle, QUICK.monitor)
        assert (found["features"][0]["feature"], found["features"][0]["alarm"]) == (name, False)
        told = [check.told for check in drift_checks(found, QUICK.monitor)]
        assert any(each.startswith(name) and each.endswith("not judged: the model hardly uses it") for each in told)

    def test_ages_rise_by_the_clock_and_alarm_nobody(self, bundle, rows_then):
        later = rows_then.assign(**{name: rows_then[name] + 90 for name in CLOCKS})
        found = drift(later, bundle, QUICK.monitor)
        assert {feature["feature"] for feature in found["features"][: len(CLOCKS)]} == set(CLOCKS)
        told = drift_checks(found, QUICK.monitor)
        assert [check.told.endswith("not judged: it rises by the clock") for check in told[1:3]] == [True, False]
        assert not any(check.past for check in told[1:])

    def test_another_community_moves_the_score(self, bundle, rows_then):
        loud = rows_then[rows_then["credible_engagers_365d"] > rows_then["credible_engagers_365d"].quantile(0.8)]
        told = alarms(loud, bundle)[0]
        assert told.startswith("the score has a PSI of ")
        assert drift(loud, bundle, QUICK.monitor)["level"]["ratio"] > 2

    def test_limits_are_those_given(self, bundle, rows_then):
        loud = rows_then[rows_then["credible_engagers_365d"] > rows_then["credible_engagers_365d"].quantile(0.8)]
        assert alarms(loud, bundle, Limits(score_psi=1e6, feature_psi=1e6)) == []
        assert len(alarms(loud, bundle, Limits(feature_psi=1e-6))) > len(alarms(loud, bundle))


class TestReport:
    def test_what_it_holds(self, found, bundle, end):
        assert (found["as_of"], found["reference_as_of"]) == (end.isoformat(), bundle.facts["reference"]["as_of"])
        assert json.loads(json.dumps(to_json(found), allow_nan=False)) == to_json(found)
        indices = [feature["psi"] for feature in found["features"]]
        assert indices == sorted(indices, reverse=True)
        assert len(indices) == len(bundle.features)

    def test_a_community_that_goes_on_as_before_raises_no_alarm(self, found):
        assert found["alarms"] == []
        assert found["held"]

    def test_the_newest_complete_horizon_is_judged(self, found, end):
        realised = found["realised"]
        assert realised.as_of == (end - HORIZON).isoformat()
        assert any(told.startswith("expected over real audience is ") for told in found["findings"])
        assert metrics_of(to_json(found))["auc"] == realised.metrics["score"]["auc"]

    def test_before_a_horizon_is_complete_it_says_from_when_on(self, bundle, simulated):
        found = monitor(load_encoded_events(simulated.events), bundle, config=QUICK)
        assert found["realised"] is None
        told = f"what was foretold can be judged from {simulated.as_of + HORIZON:%Y-%m-%d} on, with events up to then"
        assert found["findings"][-1].startswith(told)
        assert found["held"]
        assert "auc" not in metrics_of(to_json(found))

    def test_nothing_is_judged_on_outcomes_that_the_model_has_seen(self, earlier, simulated, end):
        found = monitor(load_encoded_events(simulated.events), earlier, end - timedelta(seconds=1), QUICK)
        assert found["realised"] is None

    def test_an_audience_that_vanishes_is_past_the_limit(self, earlier, silenced):
        found = monitor(load_encoded_events(silenced), earlier, config=QUICK)
        assert not found["held"]
        (told,) = [alarm for alarm in found["alarms"] if alarm.startswith("expected over real audience is ")]
        assert told.endswith("(limits 0.67 to 1.5)")
        assert metrics_of(to_json(found))["total"] > 1.5
        assert metrics_of(to_json(found))["alarms"] == len(found["alarms"])

    def test_long_after_the_last_act(self, bundle, table):
        acts = [(day, "ann", "like", "bob") for day in (0, 1)]
        quiet = load_encoded_events(table(acts))
        with pytest.raises(AsOfError, match=r"nobody acted .* in the 365 days before 2026-0"):
            monitor(quiet, bundle, datetime.fromisoformat("2026-02-01T00:00:00+00:00"), QUICK)

    def test_a_model_without_a_reference(self, bundle, simulated):
        facts = {name: fact for name, fact in bundle.facts.items() if name != "reference"}
        old = dataclasses.replace(bundle, facts=facts)
        with pytest.raises(RegistryError, match=r"the model was registered without a reference .*; train again with"):
            monitor(load_encoded_events(simulated.events), old)
        with pytest.raises(RegistryError, match=r"^version 7 was registered without a reference"):
            check_reference(old, "7")


class TestRealised:
    def past(self, high=0.0, total=1.0, coverage=0.9):
        lead = BaselineLead("pagerank", -0.1, -0.2, high)
        metrics = {"score": {"total": total, "coverage": coverage}}
        figures = EvaluationReport(
            users=9, metrics=metrics, margins=dict.fromkeys(RANKING, lead), bands=(), as_of="", horizon_days=28
        )
        return [check.told for check in realised_checks(figures, Limits()) if check.past]

    @pytest.mark.parametrize(("total", "count"), [(0.66, 1), (0.67, 0), (1.5, 0), (1.51, 1)])
    def test_total(self, total, count):
        assert len(self.past(total=total)) == count

    def test_coverage(self):
        assert self.past(coverage=0.85) == []
        assert self.past(coverage=0.84) == ["intervals hold 84.0% of users (limit 85%)"]

    def test_worse_than_a_baseline_with_the_whole_interval(self):
        assert self.past(high=0.0) == []
        told = self.past(high=-0.01)
        assert [each.split()[0] for each in told] == list(RANKING)
        assert told[0] == "auc is -0.100 [-0.200, -0.010] against the best baseline, pagerank: worse"


@pytest.fixture(scope="module")
def events(simulated, tmp_path_factory):
    file = tmp_path_factory.mktemp("live") / "events.parquet"
    pq.write_table(simulated.events, file)
    return file


@pytest.fixture
def client(home, trained):
    return mlflow.MlflowClient(home.registry_uri, home.registry_uri)


@pytest.fixture
def judged(earlier, trained, monkeypatch):
    """Let the champion be as old as to be judged."""
    monkeypatch.setattr("training.registry.model_registry.load_champion", lambda _: (earlier, trained.version))


def test_held_prints_the_report_and_logs_it(events, home, client, trained, judged, end):
    run = typed(home, events, "--json")
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert (told["model_version"], told["held"], told["as_of"]) == ("1", True, end.isoformat())
    held = client.get_experiment_by_name("clout").experiment_id
    asked = f"attributes.run_name = 'monitor {end:%Y-%m-%d}' and tags.held = 'true'"
    (logged,) = client.search_runs([held], asked)
    assert logged.data.tags["model_version"] == "1"
    assert logged.data.metrics == pytest.approx(metrics_of(told))
    assert {"score_psi", "max_feature_psi", "total", "coverage", "auc"} <= set(logged.data.metrics)
    with (home.artifacts / logged.info.run_id / "artifacts" / "monitor.json").open() as file:
        assert json.load(file) == told
    assert report(home, "1") == report_document(trained.measured, trained.verdict)


def test_past_its_limits_it_exits_with_3(silenced, home, judged):
    run = typed(home, silenced)
    assert run.exit_code == 3, run.output
    assert run.stderr.index("monitor: ") < run.stderr.index("past its limit: expected over real audience")
    assert "past their limits; logged as the MLflow run" in run.stderr
    assert "Score: now, and in training" in run.stdout
    assert "Lead of the score over the best baseline" in run.stdout


def test_limits_of_a_file(events, home, trained, simulated, tmp_path):
    (tmp_path / "clout.toml").write_text("[evaluation]\nresamples = 20\n[monitor]\nscore_psi = 1e-9\n")
    asked = ("--as-of", simulated.as_of.isoformat(), "--config", tmp_path / "clout.toml", "--json")
    run = typed(home, events, *asked)
    assert run.exit_code == 3, run.output
    (told,) = json.loads(run.stdout)["alarms"]
    assert told.endswith("(limit 1e-09)")


def test_what_cannot_be_answered_exits_with_2(events, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["clout", "monitor", str(events), "--home", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "holds no champion" in capsys.readouterr().err.replace("\n", " ")


def test_training_prints_no_reference(trained):
    from training.cli import _trained

    assert "reference" in trained.bundle.facts
    assert "reference" not in _trained(trained)["facts"]
