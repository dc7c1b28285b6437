"""The environment of `clout attack`: simulated events where none are given, and a model where a champion is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis.expr.types as ir
import pandas as pd

from features.errors import StoreError
from features.events.encoding import encode_events
from features.events.event_table import open_events, time_range
from features.events.loading import load_events, resolve_as_of
from features.events.store import is_store
from features.progress import StepProgress, ignore_progress, of_step
from features.simulation import Community, simulate
from training.config import Config
from training.dataset.panel import build_panel, present_rows, split_cutoffs
from training.fit import fit
from training.home import Home
from training.model.bundle import Bundle
from training.model.feature_sets import panel_features
from training.records.opt_outs import load_opted_out_users
from training.registry.model_registry import find_champion, load_champion

DAYS = 365


@contextmanager
def attack_environment(
    home: Home,
    events: Path | None,
    users: int,
    seed: int,
    progress: StepProgress,
    identities: pd.DataFrame | None = None,
) -> Iterator[tuple[ir.Table, Bundle, str | None]]:
    """Yield events to attack in, the model, and its version.

    Given events are attacked under the home's champion, with accounts merged by the identities and without opted-out
    users. Without events, a community is
    simulated; without a champion too, a model without a version is trained on the simulated events.

    Raises
    ------
    StoreError : a store is given instead of events
    RegistryError : events are given, but the home has no champion
    EventsError : the events cannot be read, or a community of so many users cannot be simulated

    """
    if events is not None:
        if is_store(events):
            raise StoreError(f"{events} is a store; attacks are added to events, so give the events themselves.")
        table = load_events(events, identities, excluded=load_opted_out_users(home))
        yield table, *load_champion(home)
        return
    current = find_champion(home)
    with simulated(users, seed, progress) as community:
        yield (community, *(current or (fit_unregistered(community, progress=progress), None)))


@contextmanager
def simulated(users: int, seed: int, progress: StepProgress) -> Iterator[ir.Table]:
    """Simulate a community over a year; yield its events, which are deleted afterwards."""
    with TemporaryDirectory(prefix="clout-sandbox-") as folder:
        community = Community(users=users, days=DAYS, seed=seed)
        output = simulate(community, Path(folder) / "events.parquet", of_step(progress, "simulate"))
        yield open_events(output.files[0])


def fit_unregistered(
    events: ir.Table,
    as_of: datetime | None = None,
    config: Config | None = None,
    progress: StepProgress = ignore_progress,
) -> Bundle:
    """Fit the recipe on a community before an instant (None: all of it), to attack it; nothing is registered.

    Raises
    ------
    TooSmallError : the community is too small to train on

    """
    config = config or Config()
    days = config.outcome.horizon_days
    split = split_cutoffs(time_range(events)[0], resolve_as_of(events, as_of), days, config.panel.cutoffs)
    encoded = encode_events(events, config.panel.scopes)
    panel = build_panel(encoded, split, days, of_step(progress, "panel"), config.outcome.label, panel_features())
    progress("train", 0.0)
    bundle = fit(panel, split, config, present=present_rows(encoded, split, days))
    progress("train", 1.0)
    return bundle
