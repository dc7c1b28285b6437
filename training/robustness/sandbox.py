"""Sparring: a simulated community to attack in, and a model where there is no champion, for who brings neither."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis.expr.types as ir

from features.errors import StoreError
from features.events.encoding import encode_events as keyed
from features.events.event_table import open_events, time_range
from features.events.loading import load_events, resolve_as_of
from features.events.store import is_store
from features.simulation import Community, simulate
from training.config import Config
from training.dataset.panel import build_panel, split_cutoffs
from training.fit import fit
from training.home import Home
from training.model.bundle import Bundle
from training.records.opt_outs import load_opted_out_users
from training.registry.model_registry import champion, load_champion
from training.robustness.attack_suite import Progress

DAYS = 365


@contextmanager
def attack_environment(
    home: Home, events: Path | None, users: int, seed: int, progress: Progress
) -> Iterator[tuple[ir.Table, Bundle, str | None]]:
    """Yield events to attack in, the model, and its version.

    Given events are attacked under the home's champion, without the people who are left out. Without any, a community
    is simulated; where the home has no champion then, a model is trained on it, which has no version.

    Raises
    ------
    StoreError : a store is given instead of events
    RegistryError : events are given, and there is no champion
    EventsError : the events cannot be read, or nothing can be simulated with so many users

    """
    if events is not None:
        if is_store(events):
            raise StoreError(f"{events} is a store; attacks are put among events, so give the events themselves.")
        yield load_events(events, excluded=load_opted_out_users(home)), *load_champion(home)
        return
    found = champion(home)
    with simulated(users, seed, progress) as made:
        yield (made, *found) if found else (made, fit_unregistered(made, progress=progress), None)


@contextmanager
def simulated(users: int, seed: int, progress: Progress) -> Iterator[ir.Table]:
    """Simulate a community of so many users over a year; yields its events, which are gone afterwards."""
    with TemporaryDirectory(prefix="clout-sparring-") as folder:
        community = Community(users=users, days=DAYS, seed=seed)
        made = simulate(community, Path(folder) / "events.parquet", lambda done: progress("simulate", done))
        yield open_events(made.files[0])


def fit_unregistered(
    events: ir.Table, as_of: datetime | None = None, config: Config | None = None, progress: Progress = lambda *_: None
) -> Bundle:
    """Fit the recipe on a community before an instant (None: all of it), to be attacked in it; nothing is registered.

    Raises
    ------
    TooSmallError : the community is too small to train on

    """
    config = config or Config()
    days = config.outcome.horizon_days
    split = split_cutoffs(time_range(events)[0], resolve_as_of(events, as_of), days, config.panel.cutoffs)
    panel = build_panel(
        keyed(events, config.panel.scopes), split, days, lambda done: progress("panel", done), config.outcome.label
    )
    progress("train", 0.0)
    bundle = fit(panel, split, config)
    progress("train", 1.0)
    return bundle
