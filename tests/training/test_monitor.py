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
from training.drift import (
    CLOCKS,
    FeatureDrift,
    check_reference,
    drift_findings,
    evaluation_findings,
    measure_drift,
    monitor,
    psi,
)
from training.evaluation.metrics import FIGURES, RANKING
from training.evaluation.report_types import BaselineLead, EvaluationReport
from training.registry.run_documents import report
from training.release.release_candidate import report_document

QUICK = Config(evaluation=Evaluation(resamples=20))
HORIZON = timedelta(days=28)
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def run_monitor(home, *words):
    return CliRunner().invoke(app, ["monitor", *(str(word) for word in words), "--home", str(home.folder)])


def alarms(rows, bundle, limits=QUICK.monitor):
    return [
        finding.message
        for finding in drift_findings(measure_drift(rows, bundle, limits), limits)
        if finding.passed is False
    ]


def used_features(bundle):
    """The features by their share of the gain, highest first."""
    gain = bundle.booster.feature_importance("gain")
    return [list(bundle.features)[k] for k in np.argsort(-gain)]


@pytest.fixture(scope="module")
def reference_rows(bundle, simulated):
    """The feature rows of all users at the instant of the reference."""
    at = datetime.fromisoformat(bundle.facts["reference"]["as_of"])
    return in_scope(feature_rows(load_encoded_events(simulated.events), at), ALL)


@pytest.fixture(scope="module")
def end(simulated):
    """Just after the last event, ten days after the model was trained."""
    return pc.max(simulated.events["time"]).as_py().replace(microsecond=0) + timedelta(seconds=1)


@pytest.fixture(scope="module")
def model_with_outcome(bundle, end):
    """A model dated one horizon before the end, so that its outcome is complete."""
    return dataclasses.replace(bundle, facts={**bundle.facts, "as_of": (end - HORIZON).isoformat()})


@pytest.fixture(scope="module")
def drift_report(model_with_outcome, simulated):
    """The report of the whole community."""
    return monitor(load_encoded_events(simulated.events), model_with_outcome, config=QUICK)


@pytest.fixture(scope="module")
def silenced(simulated, end, tmp_path_factory):
    """A file of events in which hardly any user is engaged with during the last 28 days."""
    events = simulated.events
    late = pc.greater_equal(events["time"], pa.scalar(end - HORIZON, events["time"].type))
    engaging = pc.and_(late, pc.is_in(events["verb"], value_set=pa.array(ENGAGEMENTS)))
    few = np.random.default_rng(0).random(len(events)) < 0.02
    file = tmp_path_factory.mktemp("silenced") / "events.parquet"
    pq.write_table(events.filter(pc.or_(pc.invert(engaging), pa.array(few))), file)
    return file


class TestPsi:
    def test_psi_of_two_bins_by_hand(self):
        by_hand = (0.5 - 0.8) * math.log(0.5 / 0.8) + (0.5 - 0.2) * math.log(0.5 / 0.2)
        assert psi(np.array([0.5, 0.5]), np.array([0.8, 0.2])) == pytest.approx(by_hand)

    def test_psi_of_an_empty_bin_by_hand(self):
        by_hand = (1 - 0.5) * math.log(1 / 0.5) + (1e-4 - 0.5) * math.log(1e-4 / 0.5)
        assert psi(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(by_hand)

    @given(SHARES, SHARES)
    def test_psi_is_a_symmetric_distance(self, one, other):
        one, other = np.array(one), np.array(other)
        assert psi(one, one) == 0
        assert psi(one, other) >= 0
        assert psi(one, other) == pytest.approx(psi(other, one))


class TestDrift:
    def test_same_community_has_no_drift(self, bundle, reference_rows):
        drift_report = measure_drift(reference_rows, bundle, QUICK.monitor)
        assert drift_report.score.psi == pytest.approx(0, abs=1e-6)
        assert drift_report.score.live == drift_report.score.reference
        assert drift_report.level.ratio == pytest.approx(1, abs=1e-6)
        assert drift_report.users == drift_report.reference_users == len(reference_rows)
        assert max(feature.psi for feature in drift_report.features) == pytest.approx(0, abs=1e-6)
        assert {feature.status for feature in drift_report.features} == {"stable"}
        assert alarms(reference_rows, bundle) == []

    def test_weights_are_shares_of_the_gain(self, bundle, drift_report):
        weights = {feature.feature: feature.weight for feature in drift_report.features}
        assert sum(weights.values()) == pytest.approx(1)
        assert max(weights, key=weights.get) == used_features(bundle)[0]
        assert set(weights) == set(bundle.features)

    def test_feature_that_grows_for_half_of_the_users_alarms(self, bundle, reference_rows):
        name = used_features(bundle)[0]
        half = np.arange(len(reference_rows)) % 2 == 0
        (message,) = alarms(
            reference_rows.assign(**{name: reference_rows[name].mask(half, 9 * reference_rows[name] + 9)}), bundle
        )[-1:]
        assert message.startswith(f"{name} has a PSI of ")
        assert message.endswith("of the gain")

    def test_feature_that_becomes_unknown_alarms(self, bundle, reference_rows):
        name = used_features(bundle)[1]
        altered = reference_rows.assign(**{name: np.nan})
        (message,) = [alarm for alarm in alarms(altered, bundle) if name in alarm]
        assert message.endswith("of the gain, unknown for 100% of users (0% in training)")
        top = measure_drift(altered, bundle, QUICK.monitor).features[0]
        assert (top.feature, top.status, top.alarm) == (name, "changed", True)
        assert (top.unknown_live, top.unknown_reference) == (1.0, 0.0)

    def test_unused_feature_does_not_alarm(self, bundle, reference_rows):
        name = used_features(bundle)[-1]
        altered = reference_rows.assign(**{name: 1e6})
        assert alarms(altered, bundle) == []
        drift_report = measure_drift(altered, bundle, QUICK.monitor)
        assert (drift_report.features[0].feature, drift_report.features[0].alarm) == (name, False)
        messages = [finding.message for finding in drift_findings(drift_report, QUICK.monitor)]
        assert any(
            text.startswith(name) and text.endswith("not monitored: the model hardly uses it") for text in messages
        )

    def test_the_share_of_the_gain_is_not_rounded_up_to_the_limit(self):
        for weight, share in ((0.00999, "0.99%"), (0.01, "1.00%"), (0.1234, "12.34%")):
            feature = FeatureDrift("links_28d", 0.3, "changed", weight, weight >= 0.01, False, 0.0, 0.0)
            assert f"(limit 0.25) and carries {share} of the gain" in feature.describe(0.25)

    def test_ages_do_not_alarm(self, bundle, reference_rows):
        later = reference_rows.assign(**{name: reference_rows[name] + 90 for name in CLOCKS if name in reference_rows})
        drift_report = measure_drift(later, bundle, QUICK.monitor)
        assert drift_report.features[0].feature == "tenure_days"
        findings = drift_findings(drift_report, QUICK.monitor)
        assert [finding.message.endswith("not monitored: it rises with time") for finding in findings[1:3]] == [
            True,
            False,
        ]
        assert not any(finding.passed is False for finding in findings[1:])

    def test_another_community_alarms(self, bundle, reference_rows):
        loud = reference_rows[
            reference_rows["credible_engagers_365d"] > reference_rows["credible_engagers_365d"].quantile(0.8)
        ]
        message = alarms(loud, bundle)[0]
        assert message.startswith("the score has a PSI of ")
        assert measure_drift(loud, bundle, QUICK.monitor).level.ratio > 2

    def test_limits_come_from_the_configuration(self, bundle, reference_rows):
        loud = reference_rows[
            reference_rows["credible_engagers_365d"] > reference_rows["credible_engagers_365d"].quantile(0.8)
        ]
        assert alarms(loud, bundle, Limits(score_psi=1e6, feature_psi=1e6)) == []
        assert len(alarms(loud, bundle, Limits(feature_psi=1e-6))) > len(alarms(loud, bundle))


class TestReport:
    def test_report_fields(self, drift_report, bundle, end):
        assert (drift_report.as_of, drift_report.reference_as_of) == (
            end.isoformat(),
            bundle.facts["reference"]["as_of"],
        )
        document = drift_report.as_json()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert set(document) == {
            *("as_of", "reference_as_of", "users", "reference_users", "score", "level", "features"),
            *("realised", "findings", "alarms", "within_limits"),
        }
        assert {"monitored", "alarm", "psi", "status", "weight", "feature"} <= set(document["features"][0])
        indices = [feature.psi for feature in drift_report.features]
        assert indices == sorted(indices, reverse=True)
        assert len(indices) == len(bundle.features)

    def test_unchanged_community_does_not_alarm(self, drift_report):
        assert drift_report.alarms == ()
        assert drift_report.within_limits

    def test_newest_complete_horizon_is_evaluated(self, drift_report, end):
        realised = drift_report.realised
        assert realised.as_of == (end - HORIZON).isoformat()
        assert any(message.startswith("the model expects ") for message in drift_report.findings)
        assert drift_report.metrics()["auc"] == realised.metrics["score"]["auc"]

    def test_incomplete_horizon_reports_when_it_is_complete(self, bundle, simulated):
        drift_report = monitor(load_encoded_events(simulated.events), bundle, config=QUICK)
        assert drift_report.realised is None
        at = f"{simulated.as_of + HORIZON:%Y-%m-%d %H:%M:%S} UTC"
        message = f"predictions can be evaluated from {at} on, with events up to then"
        assert drift_report.findings[-1].startswith(message)
        assert drift_report.within_limits
        assert "auc" not in drift_report.metrics()

    def test_horizon_of_the_training_is_not_evaluated(self, model_with_outcome, simulated, end):
        drift_report = monitor(
            load_encoded_events(simulated.events), model_with_outcome, end - timedelta(seconds=1), QUICK
        )
        assert drift_report.realised is None

    def test_vanished_audience_alarms(self, model_with_outcome, silenced):
        drift_report = monitor(load_encoded_events(silenced), model_with_outcome, config=QUICK)
        assert not drift_report.within_limits
        (message,) = [alarm for alarm in drift_report.alarms if alarm.startswith("the model expects ")]
        assert message.endswith("(limits 0.67 to 1.5)")
        assert drift_report.metrics()["total"] > 1.5
        assert drift_report.metrics()["alarms"] == len(drift_report.alarms)

    def test_monitor_long_after_the_last_event(self, bundle, table):
        acts = [(day, "ann", "like", "bob") for day in (0, 1)]
        quiet = load_encoded_events(table(acts))
        with pytest.raises(AsOfError, match=r"nobody acted .* in the 365 days before 2026-0.* the events reach from"):
            monitor(quiet, bundle, datetime.fromisoformat("2026-02-01T00:00:00+00:00"), QUICK)

    def test_monitor_without_a_reference(self, bundle, simulated):
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
        return [finding.message for finding in evaluation_findings(figures, Limits()) if finding.passed is False]

    @pytest.mark.parametrize(("total", "count"), [(0.66, 1), (0.67, 0), (1.5, 0), (1.51, 1)])
    def test_total_limits(self, total, count):
        assert len(self.past(total=total)) == count

    def test_coverage_limit(self):
        assert self.past(coverage=0.85) == []
        assert self.past(coverage=0.84) == ["84.0% of users are inside their interval (limit 85%)"]

    def test_loss_against_a_baseline_alarms(self):
        assert self.past(high=0.0) == []
        messages = self.past(high=-0.01)
        assert [message.partition(" trails ")[0] for message in messages] == [FIGURES[metric] for metric in RANKING]
        assert messages[0] == "AUC trails the best baseline, pagerank, by 0.100 (0.010 to 0.200)"


@pytest.fixture(scope="module")
def events(simulated, tmp_path_factory):
    file = tmp_path_factory.mktemp("live") / "events.parquet"
    pq.write_table(simulated.events, file)
    return file


@pytest.fixture
def client(home, trained):
    return mlflow.MlflowClient(home.registry_uri, home.registry_uri)


@pytest.fixture
def older_champion(model_with_outcome, trained, monkeypatch):
    """A champion old enough for a complete outcome."""
    monkeypatch.setattr(
        "training.registry.model_registry.load_champion", lambda _: (model_with_outcome, trained.version)
    )


def test_command_prints_and_logs_the_report(events, home, client, trained, older_champion, end):
    run = run_monitor(home, events, "--json")
    assert run.exit_code == 0, run.output
    document = json.loads(run.stdout)
    assert (document["model_version"], document["within_limits"], document["as_of"]) == ("1", True, end.isoformat())
    experiment = client.get_experiment_by_name("clout").experiment_id
    query = f"attributes.run_name = 'monitor {end:%Y-%m-%d}' and tags.within_limits = 'true'"
    (logged,) = client.search_runs([experiment], query)
    assert logged.data.tags["model_version"] == "1"
    figures = {
        "users": document["users"],
        "score_psi": document["score"]["psi"],
        "max_feature_psi": max(feature["psi"] for feature in document["features"] if feature["monitored"]),
        "level": document["level"]["ratio"],
        "alarms": 0,
        **document["realised"]["metrics"]["score"],
    }
    assert logged.data.metrics == pytest.approx(figures)
    assert {"score_psi", "max_feature_psi", "total", "coverage", "auc"} <= set(logged.data.metrics)
    with (home.artifacts / logged.info.run_id / "artifacts" / "monitor.json").open() as file:
        assert json.load(file) == document
    assert report(home, "1") == report_document(trained.measured, trained.verdict)


def test_command_past_limits_exits_with_3(silenced, home, older_champion):
    run = run_monitor(home, silenced)
    assert run.exit_code == 3, run.output
    assert run.stderr.index("monitor: ") < run.stderr.index("past its limit: the model expects")
    assert "past their limits; logged as the MLflow run" in run.stderr
    assert "Score: now, and in training" in run.stdout
    assert "Lead of the score over the best baseline" in run.stdout


def test_command_reads_limits_from_a_file(events, home, trained, simulated, tmp_path):
    (tmp_path / "clout.toml").write_text("[evaluation]\nresamples = 20\n[monitor]\nscore_psi = 1e-9\n")
    options = ("--as-of", simulated.as_of.isoformat(), "--config", tmp_path / "clout.toml", "--json")
    run = run_monitor(home, events, *options)
    assert run.exit_code == 3, run.output
    (alarm,) = json.loads(run.stdout)["alarms"]
    assert alarm.endswith("(limit 1e-09)")


def test_command_without_a_champion_exits_with_2(events, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "none").mkdir()
    monkeypatch.setattr(sys, "argv", ["clout", "monitor", str(events), "--home", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 2
    assert "holds no champion" in capsys.readouterr().err.replace("\n", " ")


def test_training_prints_no_reference(trained):
    from training.cli import _training_json

    assert "reference" in trained.bundle.facts
    assert "reference" not in _training_json(trained)["facts"]
