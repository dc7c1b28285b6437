"""Snapshots of an earlier version can still be opened: earlier_snapshot.tar.gz was made at commit f80b60b."""

import tarfile
from pathlib import Path

import pytest

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from features.utc import parse_utc
from serving.review.history import history
from serving.snapshots.query import SearchQuery
from serving.snapshots.repository import open_snapshot
from serving.snapshots.search import search
from training.home import Home
from training.model.bundle_files import read_bundle

SCORES = {"anna": 8.843690809520695, "ben": 20.0, "cleo/1": 9.849742072915262, "dédé": 2.4205226017549535}


@pytest.fixture
def earlier_home(tmp_path):
    home = Home(tmp_path)
    with tarfile.open(Path(__file__).with_name("earlier_snapshot.tar.gz")) as archive:
        archive.extractall(home.snapshots, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return home


def test_an_earlier_snapshot_opens_with_its_scores(earlier_home):
    snapshot = open_snapshot(earlier_home)
    assert (snapshot.as_of, snapshot.model_version) == (parse_utc("2017-07-30"), "3")
    assert (snapshot.users, snapshot.horizon_days) == (4, 28)
    assert {user: snapshot.score(user)["score"] for user in SCORES} == pytest.approx(SCORES)
    page = search(snapshot, SearchQuery(), 2)
    assert [score["user"] for score in page.scores] == ["ben", "cleo/1"]
    assert [point.score for point in history(earlier_home, "anna").scores] == pytest.approx([SCORES["anna"]])


def test_an_earlier_snapshot_explains_its_scores_with_the_same_catalogue(earlier_home):
    snapshot = open_snapshot(earlier_home)
    used = read_bundle(snapshot.folder / "bundle").features
    if any(name not in CATALOGUE or not CATALOGUE[name].has_fingerprint(used[name]) for name in used):
        with pytest.raises(CatalogueError, match="Install the version of clout-score that trained it"):
            snapshot.explain("anna")
        return
    for user, score in SCORES.items():
        explanation = snapshot.explain(user)
        assert explanation.score == pytest.approx(score)
        points = sum(line.points for line in explanation.lines)
        assert explanation.base + points == pytest.approx(explanation.unclipped, abs=1e-6)
