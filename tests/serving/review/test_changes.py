"""Changes between two snapshots: of one user and of a community, on the terminal and over HTTP."""

import dataclasses
import json
import re
import shutil
import sys
from dataclasses import asdict
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from features.errors import AsOfError, CatalogueError, OutputError, RegistryError, SnapshotError, UnknownUserError
from serving import app as application
from serving.cli import main
from serving.review import community_change
from serving.review.score_change import change, remarks
from serving.runtime import state
from serving.scoring import score_rows
from serving.snapshots.layout import write_checksums
from serving.snapshots.repository import (
    AbsentSnapshotError,
    list_snapshots,
    open_earlier,
    open_snapshot,
    write_snapshot,
)
from training.config import Config, Model
from training.dataset.panel import Split
from training.explanation.score_change import PARTS
from training.fit import fit
from training.home import Home
from training.model.scale import Scale

DAYS = 28
ONLY_BEFORE, ONLY_AFTER = "user0010", "user0011"


@pytest.fixture(scope="session")
def older(rows):
    """The same users four weeks earlier: most features differ, one user is absent, and two have too little evidence."""
    rng = np.random.default_rng(8)
    features = rows.drop(columns=["user", "scope"])
    moved = (features * rng.lognormal(0, 0.4, features.shape)).where(rng.random(features.shape) < 0.7, features)
    earlier = rows[["user", "scope"]].join(moved)
    earlier[["account_age_days", "seniority_days"]] = features[["account_age_days", "seniority_days"]]
    earlier.loc[earlier["user"] == "user0001", ["acts_365d", "engagements_365d"]] = [30.0, 5.0]
    earlier.loc[earlier["user"] == "user0003", ["acts_365d", "engagements_365d"]] = [30.0, 5.0]
    earlier.loc[earlier["user"] == "user0005", ["acts_365d", "engagements_365d"]] = [1.0, 1.0]
    return earlier[earlier["user"] != ONLY_AFTER].reset_index(drop=True)


@pytest.fixture(scope="session")
def old_bundle(bundle, rows):
    """A very different model with its own scale."""
    instants = [pd.Timestamp("2017-05-07", tz="UTC") + timedelta(days=28 * k) for k in range(3)]
    audience = np.random.default_rng(1).poisson(rows["credible_engagers_28d"])
    panel = pd.concat([rows.assign(as_of=at, audience=audience) for at in instants], ignore_index=True)
    model = fit(panel, Split(tuple(instants)), Config(model=Model(trees=30, depth=3, seed=4)))
    return dataclasses.replace(model, scale=Scale(bundle.scale.anchor - 2.0, bundle.scale.points_per_nat * 1.3))


@pytest.fixture
def start(home):
    return open_snapshot(home).as_of - timedelta(days=DAYS)


@pytest.fixture(scope="module")
def home_of_two(tmp_path_factory, scored_home, old_bundle, older, bundle, rows):
    """A home with an older snapshot by version 2 and a newer one by version 3, which lacks one user."""
    home = Home(shutil.copytree(scored_home.folder, tmp_path_factory.mktemp("two") / "home"))
    stays, newest = rows[rows["user"] != ONLY_BEFORE], open_snapshot(home).as_of
    write_snapshot(home, newest - timedelta(days=DAYS), old_bundle, "2", score_rows(old_bundle, "2", older), older)
    write_snapshot(home, newest, bundle, "3", score_rows(bundle, "3", stays), stays)
    return home


@pytest.fixture
def two_snapshots(tmp_path, home_of_two):
    """A copy of that home."""
    return Home(shutil.copytree(home_of_two.folder, tmp_path / "two"))


@pytest.fixture
def pair(two_snapshots):
    after = open_snapshot(two_snapshots)
    return open_earlier(two_snapshots, after), after


def test_a_ledger_adds_up_and_agrees_with_both_snapshots(pair):
    before, after = pair
    for user in ["user0001", "user0007", "a/b", "user0100", ".."]:
        result = change(before, after, user)
        assert result.before.score == before.score(user)["score"]
        assert result.after.score == after.score(user)["score"]
        assert (result.before.model_version, result.after.model_version) == ("2", "3")
        assert sum(line.points for line in result.lines) == pytest.approx(
            result.after.score - result.before.score, abs=1e-6
        )
        assert sum(result.parts.values()) == pytest.approx(result.change, abs=1e-9)
        assert list(result.parts) == list(PARTS)
        assert result.before.unclipped == pytest.approx(before.explain(user).unclipped, abs=1e-9)
        assert result.after.unclipped == pytest.approx(after.explain(user).unclipped, abs=1e-9)


def test_scopes(pair):
    result = change(*pair, "user0002", "topic:birds")
    assert result.scope == "topic:birds"
    assert result.after.score == pair[1].score("user0002", "topic:birds")["score"]


def test_reasons_are_the_strongest_lines(pair):
    all_changes = [change(*pair, f"user0{k}") for k in range(100, 140)]
    assert sum(len(result.reasons) for result in all_changes) > len(all_changes)
    for result in all_changes:
        assert [reason.sentence for reason in result.reasons] == [*result.reasons_up, *result.reasons_down]
        assert max(len(result.reasons_up), len(result.reasons_down)) <= 3
        assert all(abs(reason.points) >= 0.5 for reason in result.reasons)


def test_it_is_json(pair):
    result = json.loads(json.dumps(asdict(change(*pair, "user0001")), allow_nan=False))
    assert set(result["lines"][0]) == {"part", "feature", "family", "before", "after", "points", "sentence"}
    assert result["before"]["as_of"] == "2017-07-02T00:00:00Z"


@pytest.mark.parametrize(
    ("user", "missing"),
    [
        ("user0003", "As of 2017-07-30: Too little is known for a score: in the last year this user acted once"),
        ("user0005", "As of 2017-07-02: Too little is known for a score: in the last year this user acted once"),
    ],
)
def test_too_little_evidence_at_either_instant_says_what_is_missing(pair, user, missing):
    result = change(*pair, user)
    assert result.status == "insufficient_evidence"
    assert result.missing.startswith(missing)
    assert result.missing.count("As of") == 1
    assert (result.reasons, result.reasons_up, result.reasons_down) == ((), (), ())
    assert sum(result.parts.values()) == pytest.approx(result.change, abs=1e-9)


def test_a_user_in_only_one_snapshot_has_no_change(pair):
    with pytest.raises(
        UnknownUserError, match=f"'{ONLY_BEFORE}' has a score .* as of 2017-07-02T.* and none as of 2017-"
    ):
        change(*pair, ONLY_BEFORE)
    with pytest.raises(
        UnknownUserError, match=f"'{ONLY_AFTER}' has a score .* as of 2017-07-30T.* and none as of 2017-"
    ):
        change(*pair, ONLY_AFTER)
    with pytest.raises(UnknownUserError, match=r"'user000' is none of the .* users .* Close ids: 'user0000'"):
        change(*pair, "user000")
    with pytest.raises(UnknownUserError, match="no score of the scope 'topic:fish'"):
        change(*pair, "user0001", "topic:fish")


def test_a_bundle_of_another_catalogue_is_refused(two_snapshots):
    folder = list_snapshots(two_snapshots)[1]
    file = folder / "bundle" / "bundle.json"
    facts = json.loads(file.read_text())
    facts["features"] = {"gone": "123"} | facts["features"]
    file.write_text(json.dumps(facts))
    write_checksums(folder)
    after = open_snapshot(two_snapshots)
    with pytest.raises(CatalogueError, match="another catalogue of features: absent here: gone"):
        change(open_earlier(two_snapshots, after), after, "user0001")
    with pytest.raises(CatalogueError, match="another catalogue of features: absent here: gone"):
        community_change.community_change(open_earlier(two_snapshots, after), after)


def test_remarks_state_why_scores_are_hard_to_compare(bundle):
    facts = bundle.facts | {"config": bundle.facts["config"] | {"credibility": {"seeds": ["ann"]}}}
    facts["config"] = facts["config"] | {"outcome": {"label": "credible_engagers"}}
    other = dataclasses.replace(bundle, horizon_days=14, facts=facts)
    days, label, seeds = remarks(bundle, other)
    assert "over 14 days instead of 28" in days
    assert "credible engagers instead of engagers" in label
    assert "other seeds" in seeds
    assert remarks(bundle, bundle) == ()


def test_the_earlier_snapshot(two_snapshots, start, bundle, rows):
    newest = open_snapshot(two_snapshots)
    assert open_earlier(two_snapshots, newest).as_of == start
    assert open_earlier(two_snapshots, newest, start).model_version == "2"
    with pytest.raises(AbsentSnapshotError, match=r"no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30T"):
        open_earlier(two_snapshots, newest, start.replace(year=2016, month=1, day=1))
    with pytest.raises(
        AsOfError, match="from the earlier instant to the later: 2017-08-27T00:00:00Z is after 2017-07-30T"
    ):
        open_earlier(two_snapshots, newest, newest.as_of + timedelta(days=28))
    with pytest.raises(
        AbsentSnapshotError, match=r"no other snapshot is of 2017-07-30T.* that by version 3: a change needs"
    ):
        open_earlier(two_snapshots, newest, newest.as_of)
    with pytest.raises(
        SnapshotError, match=r"no snapshot is earlier than 2017-07-02T00:00:00Z.*needs two.*'clout score'"
    ):
        open_earlier(two_snapshots, open_snapshot(two_snapshots, start))
    write_snapshot(two_snapshots, newest.as_of, bundle, "4", score_rows(bundle, "4", rows), rows)
    again = open_snapshot(two_snapshots)
    assert again.model_version == "4"
    assert open_earlier(two_snapshots, again, again.as_of).model_version == "3"
    assert open_earlier(two_snapshots, again).as_of == start


def test_a_day_that_names_the_later_snapshot_is_no_earlier_one(two_snapshots, bundle, rows):
    evening = open_snapshot(two_snapshots).as_of + timedelta(hours=30)
    write_snapshot(two_snapshots, evening, bundle, "3", score_rows(bundle, "3", rows), rows)
    newest = open_snapshot(two_snapshots)
    with pytest.raises(AbsentSnapshotError, match="no other snapshot is of 2017-07-31T06:00:00Z, the instant of that"):
        open_earlier(two_snapshots, newest, evening.replace(hour=0))


def test_a_community_change_adds_up(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(community_change, "ROWS_AT_ONCE", 100)
    before, after = pair
    out = tmp_path / "new" / "changes.parquet"
    result = community_change.community_change(before, after, top=7, out=out)
    table = pd.read_parquet(out)
    assert len(table) == result.users == 307
    first = ["user", "scope", "score_from", "score_to", "change", *PARTS, "evidence_from", "evidence_to"]
    assert list(table)[: len(first)] == first
    thin = (table[["evidence_from", "evidence_to"]] == "insufficient_evidence").any(axis=1)
    assert {"user0003", "user0005"} < set(table["user"][thin])
    assert (result.only_before, result.only_after, result.insufficient_evidence) == (1, 1, thin.sum())
    assert result.judged == (~thin).sum() == sum(mover.users for mover in result.histogram)
    assert (table[list(PARTS)].sum(axis=1) - table["change"]).abs().max() < 1e-6
    assert (table["change"] - (table["score_to"] - table["score_from"])).abs().max() == 0
    scores = [snapshot.scores.to_pandas().query("scope == 'all'").set_index("user") for snapshot in pair]
    for side, score_table in zip(("from", "to"), scores, strict=True):
        assert (table.set_index("user")[f"score_{side}"] - score_table["score"]).dropna().abs().max() < 1e-9
        assert table[f"evidence_{side}"].tolist() == score_table.loc[table["user"], "evidence"].tolist()
    lines = table[list(before.bundle.features)].sum(axis=1)
    assert (lines - table[["own", "others", "time"]].sum(axis=1)).abs().max() < 1e-9
    assert (table.filter(like="model_").sum(axis=1) - table["model"]).abs().max() < 1e-9

    compared = table[~thin]
    assert result.share == (compared["change"].abs() > 5).mean() > 0
    assert result.median == pytest.approx(compared["change"].median())
    for part, size in result.parts.items():
        assert (size.mean, size.size) == pytest.approx((compared[part].mean(), compared[part].abs().mean()))
    order = compared["change"].sort_values()
    assert [mover.change for mover in result.fallen] == pytest.approx(order.head(7).tolist())
    assert [mover.change for mover in result.risen] == pytest.approx(order.tail(7).tolist()[::-1])
    for mover in (*result.risen, *result.fallen):
        single = change(before, after, mover.user)
        assert mover.parts == pytest.approx(single.parts, abs=1e-9)
        assert (mover.reasons_up, mover.reasons_down) == (single.reasons_up, single.reasons_down)
        row = table[table["user"] == mover.user].iloc[0]
        assert single.parts == pytest.approx({part: row[part] for part in PARTS}, abs=1e-9)
    assert json.dumps(asdict(result), allow_nan=False)


def test_a_community_change_of_a_scope(pair):
    result = community_change.community_change(*pair, scope="topic:birds")
    assert (result.scope, result.users) == ("topic:birds", 2)
    with pytest.raises(UnknownUserError, match=r"nobody has a score of the scope 'topic:fish' both .*\(0 users\)"):
        community_change.community_change(*pair, scope="topic:fish")


def test_identical_snapshots_have_no_changes(home, bundle, scores, rows):
    newest = open_snapshot(home)
    write_snapshot(home, newest.as_of - timedelta(days=7), bundle, "3", scores, rows)
    result = community_change.community_change(open_earlier(home, newest), newest)
    assert (result.share, result.median, result.risen, result.fallen) == (0.0, 0.0, (), ())
    assert {size.size for size in result.parts.values()} == {0.0}


def test_changes_are_written_atomically(pair, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="is a folder"):
        community_change.community_change(*pair, out=tmp_path)
    monkeypatch.setattr(community_change, "changes", lambda *_: (_ for _ in ()).throw(RegistryError("no")))
    with pytest.raises(RegistryError):
        community_change.community_change(*pair, out=tmp_path / "changes.parquet")
    assert list(tmp_path.glob("changes*")) == []


def test_changes_go_to_a_parquet_file_only(clout, home, tmp_path):
    run = clout(home, "change", "--out", str(tmp_path / "changes.csv"))
    assert run.returncode == 2
    assert f"--out is {tmp_path / 'changes.csv'}; expected a name that ends in .parquet." in run.stderr
    assert not (tmp_path / "changes.csv").exists()


def test_damaged_features_are_reported(two_snapshots):
    after = open_snapshot(two_snapshots)
    before = open_earlier(two_snapshots, after)
    with (before.folder / "features.arrow").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * ((before.folder / "features.arrow").stat().st_size * 3 // 4 - 200))
    for tell in (lambda: change(before, after, "user0001"), lambda: community_change.community_change(before, after)):
        with pytest.raises(SnapshotError, match=r"damaged: .*features\.arrow"):
            tell()


@pytest.fixture
def run_change(two_snapshots, monkeypatch, capsys):
    """Return a function that runs `clout change` and returns its output and messages."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["clout", "change", *words, "--home", str(two_snapshots.folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.mark.fast
def test_one_users_change_on_the_terminal(run_change, pair):
    code, out, err = run_change("user0001")
    assert (code, err) == (0, "")
    result = change(*pair, "user0001")
    printed = re.findall(r"^(\w.*?)\s{2,}([+-]?\d+\.\d\d)\s*$", out, flags=re.MULTILINE)
    shown_points = {title: float(points) for title, points in printed}
    assert shown_points["Score as of 2017-07-02"] == pytest.approx(result.before.score, abs=0.006)
    assert shown_points["Absence and repeated posts"] == pytest.approx(result.parts["own"], abs=0.006)
    assert shown_points["Responses of others"] == pytest.approx(result.parts["others"], abs=0.006)
    assert shown_points["A new model"] == pytest.approx(result.parts["model"], abs=0.006)
    assert shown_points["A new scale"] == pytest.approx(result.parts["scale"], abs=0.006)
    assert "The first score is of model version 2, the second of version 3." in " ".join(out.split())
    assert "What raised it:\n  - " in out or "What lowered it:\n  - " in out
    assert max(map(len, out.splitlines())) <= 80


def test_one_users_change_as_json(run_change, pair):
    code, out, _ = run_change("user0001", "--from", "2017-07-02", "--to", "2017-07-30", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(asdict(change(*pair, "user0001"))))


def test_too_little_evidence_shows_no_number(run_change):
    code, out, err = run_change("user0003")
    assert (code, err) == (0, "")
    assert "How the score of user0003 changed from 2017-07-02 to 2017-07-30 is not known." in out
    assert "Why not:\n  - As of 2017-07-30: Too little is known" in out


def test_a_community_on_the_terminal(run_change, tmp_path):
    code, out, err = run_change("--top", "3", "--out", str(tmp_path / "all.parquet"))
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert len(pd.read_parquet(tmp_path / "all.parquet")) == 307
    assert -1 < out.index("Who rose most:") < out.index("Who fell most:")
    assert "-1 to +1" in out
    assert re.search(r"[\d.]+% of \d+ users moved by more than 5 points from 2017-07-02 to 2017-07-30", text)
    assert re.search(r"\d+ of the 307 users with a score at both instants had too little evidence", text)
    assert "Only at the first instant: 1 user; only at the second: 1 user." in text
    result = json.loads(run_change("--top", "3", "--json")[1])
    assert [len(result["risen"]), len(result["fallen"]), result["users"]] == [3, 3, 307]


def test_two_versions_of_one_instant_are_compared_on_request(run_change, two_snapshots, bundle, rows, monkeypatch):
    newest = open_snapshot(two_snapshots)
    write_snapshot(two_snapshots, newest.as_of, bundle, "4", score_rows(bundle, "4", rows), rows)
    assert "from 2017-07-02 to 2017-07-30" in run_change("user0001")[1]
    instants = ["--from", "2017-07-30", "--to", "2017-07-30"]
    out = run_change("user0001", *instants)[1]
    span = "from version 3 to version 4 as of 2017-07-30"
    assert re.search(rf"The score of user0001 \w[\w .]+ {span}: [\d.]+, then", " ".join(out.split()))
    assert re.findall(r"^Score by version \d", out, re.MULTILINE) == ["Score by version 3", "Score by version 4"]
    assert f"{span} is not known." in " ".join(run_change("user0003", *instants)[1].split())
    assert f"moved by more than 5 points {span}" in " ".join(run_change(*instants)[1].split())
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "4"))
    client = TestClient(application.create_app(two_snapshots), headers={"Accept": "text/html"})
    page = client.get("/u/user0001?part=change&from=2017-07-30&to=2017-07-30").text
    assert re.search(r"points by version 3, [\d.]+ by version 4, <strong>", page)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "error: 'nobody' is none of the 308 users of the snapshot as of 2017-07-30"),
        ([ONLY_AFTER], f"error: '{ONLY_AFTER}' has a score of the scope 'all' as of 2017-07-30T00:00:00Z and none"),
        (["user0001", "--from", "2016-01-01"], "error: no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30"),
        (["user0001", "--to", "2016-01-01"], "error: no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30"),
        (["user0001", "--from", "2017-07-30", "--to", "2017-07-02"], "error: a change goes from the earlier instant"),
        (
            ["--to", "2017-07-02"],
            "error: no snapshot is earlier than 2017-07-02T00:00:00Z, the instant of that by versi",
        ),
        (["--from", "yesterday"], "error: "),
        (["user0001", "--out", "x.parquet"], "--out is for a whole community: omit the user"),
    ],
)
def test_the_command_refuses_invalid_changes(run_change, words, message):
    code, out, err = run_change(*words)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


@pytest.fixture
def client(two_snapshots, monkeypatch, bundle):
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "3"))
    monkeypatch.setattr(state, "report", lambda *_: None)
    return TestClient(application.create_app(two_snapshots), raise_server_exceptions=False)


def test_the_service_answers_a_change(client, pair):
    result = json.loads(json.dumps(asdict(change(*pair, "a/b"))))
    for query in ("", "?from=2017-07-02", "?from=2017-07-02T02:00:00%2B02:00&to=2017-07-30", "?to=2017-07-30"):
        answer = client.get(f"/v1/users/a%2Fb/change{query}")
        assert answer.status_code == 200, answer.text
        assert answer.json() == result
    assert client.get("/v1/users/user0002/change?scope=topic:birds").json()["scope"] == "topic:birds"
    thin = client.get("/v1/users/user0003/change").json()
    assert (thin["status"], thin["reasons"]) == ("insufficient_evidence", [])


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("nobody/change", 404, "unknown-user"),
        (f"{ONLY_BEFORE}/change", 404, "unknown-user"),
        ("user0001/change?from=2016-01-01", 404, "absent-snapshot"),
        ("user0001/change?to=2016-01-01", 404, "absent-snapshot"),
        ("user0001/change?to=2017-07-02", 404, "absent-snapshot"),
        ("user0001/change?from=2017-08-30", 422, "no-instant"),
        ("user0001/change?from=yesterday", 422, "no-instant"),
        ("user0001/change?to=", 422, "no-instant"),
    ],
)
def test_the_service_refuses_invalid_changes(client, path, status, kind):
    answer = client.get(f"/v1/users/{path}")
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:clout:problem:{kind}")


def test_the_route_is_documented(client):
    route = client.get("/openapi.json").json()["paths"]["/v1/users/{user}/change"]["get"]
    assert {parameter["name"] for parameter in route["parameters"]} == {"user", "from", "to", "scope", "Clout-Purpose"}
    assert {"200", "404", "422", "503"} <= set(route["responses"])


@pytest.mark.fast
def test_movers_are_those_of_the_full_comparison(pair):
    all_changes, figures = community_change.community_change(*pair, top=300), community_change.movers(*pair)
    moved = {mover.user: mover for mover in (*all_changes.risen, *all_changes.fallen)}
    order = sorted(moved.values(), key=lambda mover: mover.change)
    assert [mover.user for mover in figures.fallen] == [mover.user for mover in order[:5] if mover.change < 0]
    assert [mover.user for mover in figures.risen] == [mover.user for mover in order[:-6:-1] if mover.change > 0]
    assert all(mover == moved[mover.user] for mover in (*figures.risen, *figures.fallen))
    assert (figures.compared, figures.share) == (all_changes.judged, all_changes.share)
    assert figures.median == pytest.approx(all_changes.median, abs=1e-6)
    assert figures.remarks == all_changes.remarks
