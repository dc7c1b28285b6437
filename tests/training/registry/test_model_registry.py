import os
import socket
import time

import mlflow
import pandas as pd
import pytest

from features.errors import RegistryError
from training.evaluation.metrics import RANKING
from training.home import Home, home_from_environment
from training.registry.mlflow_session import mlflow_session
from training.registry.model_registry import (
    CARD,
    GATE,
    LONGEST_DESCRIPTION,
    _description,
    find_champion,
    load_champion,
    load_version,
    promote,
    register,
    versions,
)
from training.registry.run_documents import card, gate, report
from training.release.gate_report import gate_report
from training.release.model_card import PROHIBITED, model_card
from training.release.release_candidate import report_document


@pytest.fixture
def client(home, trained):
    return mlflow.MlflowClient(home.registry_uri, home.registry_uri)


@pytest.fixture
def run(client):
    return client.get_run(client.get_model_version("clout", "1").run_id)


@pytest.fixture
def unreachable_server():
    """An address on this machine on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_first_version_is_challenger_and_champion(client, trained):
    assert trained.version == "1"
    for alias in ("challenger", "champion"):
        assert client.get_model_version_by_alias("clout", alias).version in ("1", 1)
    tags = client.get_model_version("clout", "1").tags
    assert tags["gate"] == ("passed" if trained.verdict.passed else "failed")
    assert tags["promoted"].endswith(" UTC, from no champion")
    assert "forced" not in tags


def test_register_logs_parameters_and_metrics(run, trained, config):
    assert run.data.params["outcome.horizon_days"] == "28"
    assert run.data.params["model.trees"] == str(config.model.trees)
    assert run.data.params["catalogue"] == trained.bundle.facts["catalogue"]
    for metric in RANKING:
        assert run.data.metrics[f"score.{metric}"] == pytest.approx(trained.evaluation.metrics["score"][metric])
        assert run.data.metrics[f"lead.{metric}"] == pytest.approx(trained.evaluation.margins[metric].margin)
    assert run.data.metrics["score.coverage"] == pytest.approx(trained.evaluation.metrics["score"]["coverage"])


def test_register_logs_plots_and_report(client, run, home, trained):
    plots = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "plots")}
    names = ("calibration", "gain", "points", "coverage", "retention", "slices")
    names += ("beeswarm", "dependence", "interaction", "pairs")
    assert plots == {f"plots/{name}.png" for name in names}
    assert report(home, "1") == report_document(trained.measured, trained.verdict)
    for plot in home.artifacts.rglob("*.png"):
        assert plot.read_bytes().startswith(b"\x89PNG")
    assert len(list(home.artifacts.rglob("*.png"))) == len(names)
    assert not [path for path in home.folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]


def test_card_is_logged_and_describes_the_version(client, run, home, trained):
    markdown = model_card(trained.bundle, trained.evaluation, trained.verdict)
    assert card(home) == card(home, "1") == markdown
    assert CARD in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    description = client.get_model_version("clout", "1").description
    assert len(description) <= LONGEST_DESCRIPTION
    first_part, _, pointer = description.rpartition("\n\n")
    assert markdown.startswith(first_part) or description == markdown
    assert pointer == "The rest is in `card.md` of the run; `clout card` prints it.\n"
    for use in PROHIBITED:
        assert use in description


def test_gate_report_is_logged(client, run, home, trained):
    markdown = gate_report(trained.bundle, trained.measured, trained.verdict)
    assert gate(home) == gate(home, "1") == markdown
    assert GATE in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    logged = report(home, "1")["gate"]
    assert {key: logged[key] for key in ("passed", "forced", "findings")} == trained.verdict.as_json()
    assert set(logged) == {"passed", "forced", "findings", "churn", "attacks"}


@pytest.mark.parametrize("sections", [0, 1, 40])
def test_description_is_truncated_after_a_section(sections):
    text = "# title\n" + "".join(f"words\n\n## section {k}\n" + "x" * 300 + "\n" for k in range(sections))
    description = _description(text)
    assert len(description) <= LONGEST_DESCRIPTION
    assert (description == text) == (sections < 40)
    if sections == 40:
        assert description.count("x" * 300) == description.count("## section") == 15
    assert _description("x" * 9_000).strip() == "The rest is in `card.md` of the run; `clout card` prints it."


def test_documents_of_a_version_may_be_absent(bundle, tmp_path):
    home = Home(tmp_path)
    version = register(home, bundle, {}, {}, {}, {})
    with pytest.raises(RegistryError, match=r"version 1 of the model 'clout' has no gate\.md: .* or train again with"):
        gate(home)
    with pytest.raises(RegistryError, match=r"version 1 of the model 'clout' has no card\.md: .* or train again with"):
        card(home, version)
    with pytest.raises(RegistryError, match="holds no champion of the model 'clout'"):
        card(home)
    for missing in ("77", "x", "01"):
        with pytest.raises(RegistryError, match=f"has no version {missing} of the model; there are 1"):
            gate(home, missing)


def test_earlier_names_of_figures_in_a_report_become_those_of_today(bundle, tmp_path):
    home = Home(tmp_path)
    finding = {"name": "auc", "told": "AUC is low", "passed": False}
    attacks = {"limits_held": True, "attacks": [{"attack": "pod", "told": "20 members like", "held": True}]}
    group = {"group": "1 to 2", "heard": 0.75}
    earlier = {
        "gate": {"findings": [finding], "attacks": attacks},
        "slices": [group],
        "top": [{"kept": 0.9, "left": 0}],
    }
    version = register(home, bundle, {}, {}, earlier, {})
    assert report(home, version) == {
        "gate": {
            "findings": [{"name": "auc", "message": "AUC is low", "passed": False}],
            "attacks": {
                "within_limits": True,
                "attacks": [{"attack": "pod", "description": "20 members like", "within_limit": True}],
            },
        },
        "slices": [{"group": "1 to 2", "share_with_audience": 0.75}],
        "top": [{"retained": 0.9, "departed": 0}],
    }


def test_load_champion_returns_the_registered_bundle(home, trained):
    bundle, version = load_champion(home)
    assert version == "1"
    assert bundle == trained.bundle


def test_mlflow_loads_the_champion(home, trained, rows):
    with mlflow_session(home):
        loaded = mlflow.pyfunc.load_model("models:/clout@champion")
        predicted = loaded.predict(rows[list(trained.bundle.features)])
    pd.testing.assert_frame_equal(predicted, trained.bundle.predict(rows))


def test_reading_a_missing_home_creates_nothing(tmp_path):
    home = Home(tmp_path / "none yet")
    assert find_champion(home) is None
    assert not home.folder.exists()
    with pytest.raises(RegistryError, match=r"holds no champion of the model 'clout'\. Train one with 'clout train EV"):
        load_champion(home)
    with pytest.raises(RegistryError, match="holds no champion of the model 'clout'"):
        card(home)
    with pytest.raises(RegistryError, match="holds no challenger of the model 'clout'"):
        gate(home)
    assert find_champion(home, check_catalogue=False) is None
    assert versions(home) == {}
    assert not home.folder.exists()


def test_unknown_version_is_reported(home, trained):
    for act in (promote, load_version, report):
        with pytest.raises(RegistryError, match=r"the registry at sqlite.* did not answer as expected: .*99"):
            act(home, "99")
    for document in (card, gate):
        with pytest.raises(
            RegistryError, match=r"the registry at sqlite.* has no version 99 of the model; there are 1"
        ):
            document(home, "99")
    assert load_champion(home)[1] == "1"


def test_versions_are_sorted_and_have_tags(bundle, tmp_path):
    home = Home(tmp_path)
    for k in range(11):
        register(home, bundle, {}, {}, {}, {}, tags={"gate": f"of {k}"})
    tags_by_version = versions(home)
    assert list(tags_by_version) == [str(k) for k in range(1, 12)]
    assert [tags["gate"] for tags in tags_by_version.values()] == [f"of {k}" for k in range(11)]


def test_damaged_store_is_reported(tmp_path):
    home = Home(tmp_path)
    home.store.write_bytes(b"this is no database" * 100)
    with pytest.raises(RegistryError, match="did not answer as expected"):
        find_champion(home)


def test_unreachable_server_is_reported(tmp_path, unreachable_server):
    home = Home(tmp_path, unreachable_server)
    began = time.monotonic()
    with pytest.raises(RegistryError, match=f"the registry at {unreachable_server} did not answer as expected"):
        find_champion(home)
    assert time.monotonic() - began < 30


def test_environment_is_restored(home, trained, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://set.by.user")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    load_champion(home)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://set.by.user"
    assert "MLFLOW_REGISTRY_URI" not in os.environ


class TestHome:
    def test_home_from_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CLOUT_HOME", str(tmp_path / "set"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
        home = home_from_environment()
        assert (home.folder, home.registry_uri) == (tmp_path / "set", "http://server:5000")
        assert home_from_environment(tmp_path / "given").folder == tmp_path / "given"

    @pytest.mark.parametrize("name", ["CLOUT_HOME", "MLFLOW_TRACKING_URI"])
    def test_empty_variables_are_ignored(self, name, monkeypatch):
        monkeypatch.delenv("CLOUT_HOME", raising=False)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.setenv(name, "")
        home = home_from_environment()
        assert (str(home.folder), home.tracking_uri) == ("clout-home", None)
        assert home.registry_uri.startswith("sqlite:////")
