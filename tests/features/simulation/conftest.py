from pathlib import Path

import pandas as pd
import pytest

from features.simulation import Community, simulate

COMMUNITY = Community(users=2_000, days=112, seed=7)


@pytest.fixture(scope="session")
def summary(tmp_path_factory):
    out = tmp_path_factory.mktemp("community") / "events.parquet"
    return simulate(COMMUNITY, out)


@pytest.fixture(scope="session")
def community():
    return COMMUNITY


@pytest.fixture(scope="session")
def events(summary):
    return pd.read_parquet(summary.files[0])


@pytest.fixture(scope="session")
def truth(summary):
    return pd.read_parquet(summary.truth).set_index("user")


@pytest.fixture
def small(tmp_path):
    """Simulate a small community and return the bytes of its files."""

    def run(name: str, **options) -> tuple[bytes, bytes]:
        summary = simulate(Community(**{"users": 60, "days": 20} | options), tmp_path / f"{name}.parquet")
        return summary.files[0].read_bytes(), Path(summary.truth).read_bytes()

    return run
