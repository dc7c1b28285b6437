"""Fixtures: a small simulated community, the model trained on it, and small event tables."""

import pickle
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.catalogue import SCORED
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from features.progress import ignore_progress
from features.simulation import Community, simulate
from training.config import Config, Evaluation, Model, Panel
from training.home import Home
from training.registry.model_registry import find_champion
from training.release.release_candidate import release
from training.train import TrainOptions, train

COLUMNS = ("time", "actor", "verb", "target", "object")
TYPES = pa.schema([("time", pa.timestamp("us", "UTC")), *((name, pa.string()) for name in COLUMNS[1:])])


@pytest.fixture(scope="session")
def table():
    """Return a function that makes an event table from acts (days after 2025-01-01, actor, verb, target)."""

    def make(acts) -> pa.Table:
        start = datetime(2025, 1, 1, tzinfo=UTC)
        rows = [(start + timedelta(days=act[0]), *act[1:], *[None] * (5 - len(act))) for act in acts]
        return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=TYPES)

    return make


@dataclass(frozen=True)
class Simulated:
    """A simulation: the event table, the ground truth by user, and an instant before its end."""

    events: pa.Table
    truth: pd.DataFrame
    as_of: datetime


@pytest.fixture(scope="session")
def config():
    return Config(panel=Panel(cutoffs=3), model=Model(trees=60), evaluation=Evaluation(resamples=20))


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("community")
    community = simulate(Community(users=800, days=270, seed=3), folder / "events.parquet")
    events = pq.read_table(community.files[0])
    last = pc.max(events["time"]).as_py()
    truth = pd.read_parquet(community.truth).set_index("user")
    return Simulated(events, truth, (last - timedelta(days=10)).replace(microsecond=0))


@pytest.fixture(scope="session")
def plain(bundle):
    """The bundle as an earlier version stored it: without a bounded term and a baseline."""
    facts = {name: value for name, value in bundle.facts.items() if name != "baseline"}
    features = {name: bundle.features[name] for name in SCORED.names}
    return replace(bundle, bounded=None, features=features, facts=facts)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("a home with spaces") / "clout home")


@pytest.fixture(scope="session")
def train_and_release():
    """Return a function that trains against the champion of a home and releases the candidate, plots optional."""

    def run(events, config, home, as_of=None, progress=ignore_progress, force=None, plots=False, **options):
        champion = find_champion(home, check_catalogue=False)
        with pytest.MonkeyPatch.context() as patch:
            if not plots:
                patch.setattr("training.backtest._figures", lambda *_: {})
            candidate = train(load_encoded_events(events), config, champion, TrainOptions(as_of, **options), progress)
        return release(candidate, home, force=force, progress=progress)

    return run


@pytest.fixture(scope="session")
def trained(simulated, config, home, train_and_release, once):
    """The first model of a home, trained on all but the last ten days of events; shared by the whole run."""

    def fill(folder):
        first = train_and_release(simulated.events, config, Home(folder / "home"), simulated.as_of, plots=True)
        (folder / "release").write_bytes(pickle.dumps(first))

    folder = once("trained", fill)
    shutil.copytree(folder / "home", home.folder)
    return pickle.loads((folder / "release").read_bytes())


@pytest.fixture(scope="session")
def bundle(trained):
    return trained.bundle


@pytest.fixture(scope="session")
def rows(simulated):
    """Feature rows of all users at the instant."""
    return feature_rows(load_encoded_events(simulated.events), simulated.as_of)
