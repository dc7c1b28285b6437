"""Rollback: an earlier version becomes champion again, and existing snapshots stay usable."""

import dataclasses
import json
import shutil
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.errors import CatalogueError, CloutError, RegistryError
from serving.cli.main import app
from serving.snapshots.explanation import Explanation
from serving.snapshots.repository import list_snapshots, open_snapshot
from training.config import Config, Evaluation, Gate, Model, Panel
from training.home import Home
from training.model.scale import Scale
from training.registry.model_registry import load_champion, register, versions
from training.registry.model_registry import promote as crown
from training.release.gate import GateError
from training.release.promotion import promote


@pytest.fixture(scope="module")
def template(tmp_path_factory, bundle):
    home = Home(tmp_path_factory.mktemp("four versions"))
    other = dataclasses.replace(bundle, scale=Scale(10.0, 12.5))
    for model, tags in [(bundle, "passed"), (bundle, "failed"), (other, "passed"), (bundle, None)]:
        register(home, model, {}, {}, {}, {}, tags={"gate": tags} if tags else None)
    crown(home, "1")
    return home


@pytest.fixture
def four_versions(template, tmp_path):
    """Versions 1 (passed, champion), 2 (failed), 3 (passed, on another scale) and 4 (without a gate)."""
    home = Home(tmp_path / "four")
    home.folder.mkdir()
    shutil.copy(template.store, home.store)
    return home


def run_command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


class TestPromote:
    def test_promotion_reports_both_versions(self, four_versions, bundle):
        promotion = promote(four_versions, "3")
        assert (promotion.version, promotion.before, promotion.forced) == ("3", (bundle, "1"), None)
        assert load_champion(four_versions) == (promotion.bundle, "3")
        assert versions(four_versions)["3"]["promoted"].endswith(" UTC, from version 1")
        back = promote(four_versions, "1")
        assert (back.version, back.before[1]) == ("1", "3")
        assert versions(four_versions)["1"]["promoted"].endswith(" UTC, from version 3")

    @pytest.mark.parametrize("version", ["99", "", "v1", "01", "champion"])
    def test_a_missing_version_is_refused(self, four_versions, version):
        with pytest.raises(RegistryError, match=f"has no version {version} of the model; there are 1, 2, 3, 4"):
            promote(four_versions, version)
        assert load_champion(four_versions)[1] == "1"

    def test_a_home_without_versions_is_refused(self, tmp_path):
        with pytest.raises(RegistryError, match="has no version 1 of the model; there are none yet"):
            promote(Home(tmp_path / "none"), "1")
        assert not (tmp_path / "none").exists()

    def test_the_current_champion_is_refused(self, four_versions):
        with pytest.raises(RegistryError, match=r"version 1 is the champion already; there are 1, 2, 3, 4\."):
            promote(four_versions, "1", "to be sure")
        assert "forced" not in versions(four_versions)["1"]

    def test_another_catalogue_is_refused(self, four_versions, bundle):
        other = register(four_versions, dataclasses.replace(bundle, features={"klout": "0" * 12}), {}, {}, {}, {})
        with pytest.raises(CatalogueError, match="trained on another catalogue of features: absent here: klout"):
            promote(four_versions, other, "why not")
        assert load_champion(four_versions)[1] == "1"

    def test_a_champion_of_another_catalogue_can_be_replaced(self, four_versions, bundle):
        crown(
            four_versions,
            register(four_versions, dataclasses.replace(bundle, features={"klout": "0" * 12}), {}, {}, {}, {}),
        )
        assert promote(four_versions, "1").before[1] == "5"
        assert load_champion(four_versions)[1] == "1"

    @pytest.mark.parametrize("version", ["2", "4"])
    def test_a_failed_version_needs_a_reason(self, four_versions, version):
        with pytest.raises(
            GateError, match=f"version {version} has not passed its gate: 'clout gate --version {version}'"
        ):
            promote(four_versions, version)
        with pytest.raises(GateError, match="blank reason"):
            promote(four_versions, version, " ")
        assert load_champion(four_versions)[1] == "1"
        assert promote(four_versions, version, " the new one\nis broken ").forced == "the new one is broken"
        assert load_champion(four_versions)[1] == version
        assert versions(four_versions)[version]["forced"] == "the new one is broken"

    def test_a_passed_version_needs_no_reason(self, four_versions):
        assert promote(four_versions, "3", "to be sure").forced is None
        assert "forced" not in versions(four_versions)["3"]


class TestCommand:
    def test_the_command_reports_the_promotion(self, four_versions, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run = run_command("promote", 2, "--home", four_versions.folder, "--force", "a try")
        assert run.exit_code == 0, run.output
        assert "Champion of the model 'clout': from version 1 to version 2" in run.stderr
        assert "it has not passed its gate; promoted by --force: a try." in run.stderr
        assert "another scale" not in run.stderr

    def test_another_scale_is_reported(self, four_versions, bundle, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run = run_command("promote", 3, "--home", four_versions.folder)
        fifty = Scale(10.0, 12.5).from_other(bundle.scale, 50)
        assert f"50 become {fifty:.1f}" in run.stderr.replace("\n", " ")
        assert "Earlier scores are not comparable" in run.stderr

    def test_a_refusal_is_an_error(self, four_versions, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert isinstance(run_command("promote", 2, "--home", four_versions.folder).exception, CloutError)


@pytest.fixture(scope="module")
def rolled_back(simulated, tmp_path_factory, train_and_release):
    """Two models on two scales with a snapshot each; the first is champion again and scores; a third is trained."""
    folder = tmp_path_factory.mktemp("rolled back")
    home, events = Home(folder / "home"), folder / "events.parquet"
    pq.write_table(simulated.events, events)
    config = {"panel": Panel(cutoffs=2), "evaluation": Evaluation(resamples=20), "gate": Gate(attacks=False)}
    as_of = [simulated.as_of - timedelta(days=days) for days in (9, 6, 3)]

    def trained(at, **options):
        return train_and_release(events, Config(model=Model(trees=20), **config), home, at, force="a test", **options)

    def write_scores(at):
        run = run_command("score", events, "--as-of", at.isoformat(), "--home", home.folder)
        assert run.exit_code == 0, run.output

    releases = [trained(as_of[0])]
    write_scores(as_of[0])
    releases.append(trained(as_of[1], rescale=True))
    write_scores(as_of[1])
    promote(home, "1", "a test")
    write_scores(as_of[2])
    releases.append(trained(as_of[2]))
    return home, as_of, releases


class TestRolledBack:
    def test_scores_come_from_the_champion(self, rolled_back):
        home, as_of, _ = rolled_back
        assert len(list_snapshots(home)) == 3
        for at, version in zip(as_of, ("1", "2", "1"), strict=True):
            assert open_snapshot(home, at).model_version == version

    def test_snapshots_of_both_versions_are_explained(self, rolled_back):
        home, as_of, releases = rolled_back
        for at, bundle in zip(as_of, (releases[0].bundle, releases[1].bundle, releases[0].bundle), strict=True):
            snapshot = open_snapshot(home, at)
            user = snapshot.scores.column("user")[0].as_py()
            run = run_command("explain", user, "--as-of", at.isoformat(), "--home", home.folder, "--json")
            assert run.exit_code == 0, run.output
            explanation = json.loads(run.stdout)
            points = sum(line["points"] for line in explanation["lines"])
            assert explanation["base"] + points == pytest.approx(explanation["unclipped"], abs=1e-6)
            assert explanation["score"] == snapshot.score(user)["score"]
            assert snapshot.bundle == bundle
            assert set(explanation) == set(Explanation.__annotations__)

    def test_the_next_training_keeps_the_champions_scale(self, rolled_back):
        _, _, (first, rescaled, third) = rolled_back
        assert rescaled.bundle.scale != first.bundle.scale
        assert third.bundle.scale == third.scale_before == first.bundle.scale
        assert third.champion_before == "1"
        assert third.evaluation.champion.version == "1"
