import copy
import dataclasses
import math
import re
import tomllib
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from serving.cli.main import app
from training.config import Config
from training.evaluation.baselines import BASELINES
from training.evaluation.metrics import RANKING
from training.model.bundle_files import load_bundle, save_bundle
from training.release.gate import Finding, Verdict
from training.release.model_card import INTENDED, PROHIBITED, model_card
from training.robustness.attack_report import AllianceResult, AttackReport, AttackResult, Omission


@pytest.fixture(scope="module")
def text(trained):
    return model_card(trained.bundle, trained.evaluation, trained.verdict)


@pytest.fixture
def one_group(trained):
    """Return a function that writes the card of a model evaluated in one group of users only."""

    def write(**figures):
        group = dataclasses.replace(trained.evaluation.slices[-1], **{"total": 1.0, "users": 900, "auc": 0.9} | figures)
        return model_card(trained.bundle, dataclasses.replace(trained.evaluation, slices=(group,)), trained.verdict)

    return write


def section(text, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL).group(1)


def cells(line):
    return [cell.strip() for cell in line[1:-1].split("|")]


def test_figures_of_signals(text, trained):
    lines = section(text, "Figures, out of time").splitlines()
    row = {cells(line)[0]: cells(line)[1:] for line in lines if line.startswith("|")}
    for name in ("score", *BASELINES):
        figures = trained.evaluation.metrics[name]
        assert row[name.replace("_", " ")][:3] == [f"{figures[key]:.3f}" for key in RANKING]
    score = trained.evaluation.metrics["score"]
    calibration = ("total", "coverage", "coverage_expected_1", "interval_score")
    assert row["score"][3:] == [f"{score[key]:.3f}" for key in calibration]
    assert row["followers"][3:] == ["", "", "", ""]
    for lead in trained.evaluation.margins.values():
        assert f"| {lead.margin:+.3f} | {lead.low:+.3f} to {lead.high:+.3f} |" in text


def test_coverage_of_large_audiences_is_stated(trained):
    band = dataclasses.replace(trained.evaluation.bands[-1], upper=10.0)
    bands = tuple(
        dataclasses.replace(band, lower=lower, users=users, coverage=coverage)
        for lower, users, coverage in ((1.0, 500, 0.2), (3.0, 30, 0.9), (10.0, 10, 0.5))
    )
    for chosen, words in (
        (bands, " Of 40 users expected at 3 people or more, 80% had an audience within"),
        (bands[:1], ""),
    ):
        evaluation = dataclasses.replace(trained.evaluation, bands=chosen)
        lines = section(model_card(trained.bundle, evaluation, trained.verdict), "Intervals by expected audience")
        assert f"Target coverage: 90 % of users.{words}" in lines
        assert ("3 people or more" in lines) == bool(words)


def test_the_number_of_instants_for_intervals_is_stated(text, trained):
    assert trained.bundle.facts["interval_cutoffs"] == 2
    assert "by how far predictions for the newest 2 of them, by models of earlier ones, lay from" in section(
        text, "Data"
    )


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        ((11.0, 12.0, 30.0), "ten points: one answers (+11.0)."),
        ((9.0, 12.0, 30.0), "ten points: two answer (+12.0)."),
        (
            (9.0, 8.0, 9.9),
            "None of the 3 attacks and alliances of ordinary members gains ten points. The largest gain: they",
        ),
    ],
)
def test_limits_state_the_cost_of_ten_points(trained, gains, sentence):
    one, two, many = gains
    alliances = tuple(
        AllianceResult(name, name, 20, people, False, gain, 1.0, 0.5, 2.5, True)
        for name, people, gain in (("one answers", 1, one), ("two answer", 2, two))
    )
    new = dataclasses.replace(alliances[0], description="one answers a new account", gain_median=31.0, new_member=True)
    farm = AttackResult(
        *("farm", "they like", "scoring", 30, 201, 5_628, many, many, many, many, 1.0, {}, {}, 6.0, None, 6.0, False)
    )
    report = AttackReport(datetime(2025, 8, 1, tzinfo=UTC), "engagers", 20.0, (farm,), alliances=(*alliances, new))
    limits = section(model_card(trained.bundle, trained.evaluation, trained.verdict, report), "Limits")
    assert sentence in limits
    assert "really answered" not in limits


def test_limits_state_the_cost_of_answered_accounts(trained):
    result = AllianceResult("answered", "they like", 20, 12, False, 22.1, 8.4, 5.0, 15.0, True, 3, 376, 20.0, 35.0)
    report = AttackReport(datetime(2025, 8, 1, tzinfo=UTC), "engagers", 20.0, (), alliances=(result,))
    assert (
        "- 12 new accounts, each really answered by 3 established users, move the score of an ordinary member by "
        "+22.1 points (limit 35) and the expected audience by +8.4 people (limit 15), for 376 events: "
        "nothing tells them from newcomers who are heard."
    ) in section(model_card(trained.bundle, trained.evaluation, trained.verdict, report), "Limits")


def test_limits_name_what_was_not_tried(trained):
    omissions = tuple(Omission(name, name, "alliance", "the history has 70 days") for name in ("friends", "pods"))
    result = AllianceResult("friend", "answers", 20, 1, False, 4.0, 1.0, 0.5, 1.25, True)
    report = AttackReport(datetime(2025, 8, 1, tzinfo=UTC), "", 20.0, (), alliances=(result,), omissions=omissions)
    limits = section(model_card(trained.bundle, trained.evaluation, trained.verdict, report), "Limits")
    assert "- 2 alliances were not tried, because the history has 70 days: friends, pods." in limits


def test_allowed_and_prohibited_uses(text):
    assert section(text, "Intended use").strip().splitlines() == [f"- {use}" for use in INTENDED]
    for use in PROHIBITED:
        assert f"- {use}\n" in section(text, "Prohibited uses")
    for word in ("hiring", "credit", "insurance", "housing", "minors"):
        assert any(word in use for use in PROHIBITED)


def test_points_in_people(trained):
    scale = dataclasses.replace(trained.bundle.scale, anchor=20.0, points_per_nat=10 / math.log(2))
    bundle = dataclasses.replace(trained.bundle, scale=scale)
    part = section(model_card(bundle, trained.evaluation, trained.verdict), "How to read it")
    assert "one expected person is 20.0 points, and 10 points more are 2.00 times the audience" in part
    assert "1 person at 20 points, 8 people at 50 points, 64 people at 80 points" in part


def test_training_data(text, trained):
    facts = trained.bundle.facts
    part = section(text, "Data")
    for stamp in (facts["as_of"], facts["training_cutoffs"][0], facts["training_cutoffs"][-1]):
        assert f"{stamp[:10]} {stamp[11:19]} UTC" in part
    assert f"{facts['rows']:,} rows" in part
    assert f"`{facts['catalogue']}`" in part
    assert "Scopes: `all`." in part


def test_bands_and_groups(text, trained):
    for band in trained.evaluation.bands:
        part = section(text, "Intervals by expected audience")
        assert f"| {band.users:,} |" in part
        assert f"| {band.width:,.1f} | {band.interval_score:,.1f} |" in part
    part = section(text, "Groups of users")
    for row in trained.evaluation.slices:
        assert (f"| {row.grouping} | {row.group} |" in part) == (row.grouping != "people expected")


def test_weak_groups_are_limits(one_group):
    weak = one_group(grouping="scope", group="network:a|b", total=2.5)
    bullets = (
        "The figures of one group of users are unreliable:\n"
        "  - scope, network:a|b: 2.50 times the real audience is expected\n"
    )
    assert bullets in section(weak, "Limits")
    assert r"| scope | network:a\|b | 900 |" in section(weak, "Groups of users")
    assert section(one_group(), "Limits").endswith("- No group of users has unreliable figures.\n\n")


def test_undefined_figures_are_empty(trained):
    evaluation = trained.evaluation
    score = evaluation.metrics["score"] | {"coverage_expected_1": None}
    unknown = dataclasses.replace(
        evaluation,
        metrics=evaluation.metrics | {"score": score},
        retention=dataclasses.replace(evaluation.retention, spearman=None),
        slices=(dataclasses.replace(evaluation.slices[-1], auc=None),),
    )
    text = model_card(trained.bundle, unknown, trained.verdict)
    assert "the rank correlation is not defined; " in text
    assert "None" not in text
    assert re.search(r"^\| score \|.*\|  \| \d+\.\d{3} \|$", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("passed", "word", "forced", "part"),
    [
        (True, "passed", None, "Passed."),
        (False, "FAILED", None, "Failed."),
        (False, "FAILED", "the old one is broken", "Failed. Promoted by --force: the old one is broken"),
        (None, "not judged", None, "Passed."),
    ],
)
def test_gate_verdict(trained, passed, word, forced, part):
    findings = Finding("baseline_auc", "auc is so and so", passed), Finding("coverage", "it covers", True)
    text = model_card(trained.bundle, trained.evaluation, Verdict(findings, forced))
    lines = [part, "", f"- {word}: auc is so and so", "- passed: it covers", "", ""]
    assert section(text, "Gate").split("\n") == lines


def test_configuration_is_reproducible(text, trained, config):
    part = section(text, "How to reproduce")
    assert f"clout train EVENTS --as-of {trained.bundle.facts['as_of']}" in part
    (block,) = re.findall(r"```toml\n(.*?)```", part, flags=re.DOTALL)
    assert Config.model_validate(tomllib.loads(block)) == config


def test_card_is_one_page_and_deterministic(text, trained, tmp_path):
    assert 80 <= len(text.splitlines()) <= 160
    save_bundle(trained.bundle, tmp_path)
    evaluation = copy.deepcopy(trained.evaluation)
    assert model_card(load_bundle(tmp_path), evaluation, trained.verdict) == text


class TestCommand:
    def run(self, *words):
        return CliRunner().invoke(app, ["card", *(str(word) for word in words)])

    def test_command_prints_the_card(self, home, text, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for words in ((), ("--version", "1")):
            run = self.run("--home", home.folder, *words)
            assert (run.exit_code, run.stdout) == (0, text)

    def test_command_without_a_champion(self, tmp_path, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (tmp_path / "none yet").mkdir()
        run = self.run("--home", tmp_path / "none yet")
        assert run.exit_code != 0
        assert "holds no champion of the model 'clout'" in str(run.exception)
