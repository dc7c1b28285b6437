"""Fixtures: a small model, users, and a home with a snapshot of their scores."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from serving.cli.main import main
from serving.runtime import state
from serving.scoring import score_rows
from serving.snapshots.audience_files import StoredAudiences
from serving.snapshots.repository import write_snapshot
from training.config import Config, Model
from training.dataset.panel import Split
from training.fit import fit
from training.home import Home
from training.registry.model_registry import register
from training.selection.return_model import ReturnModel
from training.selection.selection_model import SIZES, SelectionModel, with_selection

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
SELECTION_MODEL = SelectionModel(
    ReturnModel((0.0,) * 8, 28), 1.0, {size: [0.5, 1.5] for size in SIZES}, {size: [0.8, 1.0, 1.1] for size in SIZES}
)
ODD_IDS = ["a/b", "a b", "ünï/çødé 🙂", "50%", "x/score", "who?me#1", "..", "+", "'; --"]


def feature_rows(users: list[str], seed: int) -> pd.DataFrame:
    """Random features of realistic magnitude, some of them unknown."""
    rng = np.random.default_rng(seed)
    reach = rng.lognormal(0.5, 1.2, len(users))
    values = {name: np.round(reach * rng.lognormal(0, 0.3, len(users)), 0) for name in CATALOGUE.names}
    frame = pd.DataFrame(values)
    frame["credible_pace_28d"] = frame["responder_rate_365d"] = reach
    unknown = [feature.name for feature in CATALOGUE if feature.default is None]
    frame[unknown] = frame[unknown].mask(rng.random((len(users), len(unknown))) < 0.2)
    frame["mutual_share_365d"] /= 100
    return pd.DataFrame({"user": users, "scope": "all"}).join(frame)


@pytest.fixture(scope="session")
def bundle():
    cutoffs = [AS_OF - timedelta(days=28 * k) for k in (3, 2, 1)]
    frames = []
    for seed, cutoff in enumerate(cutoffs):
        rows = feature_rows([f"u{k}" for k in range(400)], seed)
        audience = np.random.default_rng(seed + 10).poisson(rows["credible_pace_28d"])
        frames.append(rows.assign(as_of=pd.Timestamp(cutoff), audience=audience))
    panel = pd.concat(frames, ignore_index=True)
    return fit(panel, Split(tuple(cutoffs[:3])), Config(model=Model(trees=20, depth=3)))


@pytest.fixture(scope="session")
def rows():
    people = feature_rows([f"user{k:04}" for k in range(300)] + ODD_IDS, seed=5)
    topics = feature_rows(["user0001", "user0002"], seed=6).assign(scope="topic:birds")
    rows = pd.concat([people, topics], ignore_index=True)
    rows.loc[rows["user"] == "user0001", ["acts_365d", "engagements_365d"]] = [30.0, 5.0]
    rows.loc[rows["user"] == "user0003", ["acts_365d", "engagements_365d"]] = [1.0, 0.0]
    return rows


@pytest.fixture(scope="session")
def scores(bundle, rows):
    return score_rows(bundle, "3", rows)


@pytest.fixture(scope="session")
def scored_home(tmp_path_factory, bundle, scores, rows):
    home = Home(tmp_path_factory.mktemp("scored"))
    write_snapshot(home, AS_OF, bundle, "3", scores, rows)
    return home


def stored_audiences(rows, seed=1, pairs=4):
    """Random audiences of some rows: each row has engagers, strangers, and a weight of 0, 0.5 or 1."""
    rng = np.random.default_rng(seed)
    engagers = np.concatenate([np.sort(rng.choice(rows, pairs, replace=False)) for _ in range(rows)])
    return StoredAudiences(
        pairs=np.full(rows, pairs, dtype=np.int32),
        engagers=engagers.astype(np.int32),
        probability=rng.random(rows * pairs, dtype=np.float32),
        strangers=rng.random(rows) * 3,
        weight=rng.choice([0.0, 0.5, 1.0], rows),
        followers=np.arange(rows, dtype=np.int32),
        pools={"all": 40.0, "topic:birds": 5.0},
    )


@pytest.fixture(scope="session")
def selection_home(tmp_path_factory, bundle, scores, rows):
    """A home with a snapshot that includes audiences."""
    home = Home(tmp_path_factory.mktemp("selection"))
    selecting = with_selection(bundle, SELECTION_MODEL)
    write_snapshot(home, AS_OF, selecting, "3", scores, rows, stored_audiences(len(rows)))
    return home


@pytest.fixture
def home(tmp_path, scored_home):
    return Home(shutil.copytree(scored_home.folder, tmp_path / "home"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory, bundle):
    """A home with two registered versions that passed their gate, neither promoted; copy it before changing it."""
    home = Home(tmp_path_factory.mktemp("registry") / "home")
    home.folder.mkdir()
    for _ in range(2):
        register(home, bundle, {}, {}, {}, {}, tags={"gate": "passed"})
    return home


@pytest.fixture
def score_as(home, bundle, rows):
    """Write snapshots of the home by the given versions."""

    def score_as(*versions):
        for version in versions:
            write_snapshot(home, AS_OF, bundle, version, score_rows(bundle, version, rows), rows)

    return score_as


@pytest.fixture
def champion(monkeypatch, bundle):
    """Replace the registry, which has its own tests, by a fixed champion."""
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "4"))
    monkeypatch.setattr(state, "report", lambda *_: None)


@pytest.fixture
def clout(monkeypatch, capsys):
    """Run a command on a home in this process; return the same type as `subprocess.run`."""

    def run(home, *words):
        monkeypatch.setenv("CLOUT_HOME", str(home.folder))
        monkeypatch.setenv("COLUMNS", "220")
        monkeypatch.setattr(sys, "argv", ["clout", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capsys.readouterr())

    return run
