"""The training panel: rows (user, scope, as_of) over cutoffs one horizon apart, features before, label after."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.catalogue import INPUTS
from features.errors import TooSmallError
from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.feature_table import KEYS, feature_rows
from features.progress import Progress, ignore_progress
from training.dataset.labels import ENGAGERS, audience_label
from training.dataset.sampling import RowSample

MIN_TRAINING_ROWS = 200
MIN_TRAINING_AUDIENCE = 30


@dataclass(frozen=True)
class Split:
    """Cutoffs one horizon apart, oldest first; the horizon of each ends where the next begins."""

    cutoffs: tuple[datetime, ...]

    @property
    def newest(self) -> datetime:
        """The cutoff that intervals are calibrated on."""
        return self.cutoffs[-1]

    @property
    def older(self) -> tuple[datetime, ...]:
        """All cutoffs but the newest."""
        return self.cutoffs[:-1]

    def earlier(self) -> "Split":
        """Return the split without its newest cutoff, which can then serve as test set."""
        return Split(self.older)


def split_cutoffs(first: datetime, as_of: datetime, horizon_days: int, most: int) -> Split:
    """Place cutoffs one horizon apart back from `as_of`, each with at least a horizon of history before it.

    In a community younger than four horizons, half a horizon of history before the oldest cutoff is enough.

    Raises
    ------
    TooSmallError : the history is too short for two cutoffs; says how much is needed

    """
    horizon = timedelta(days=horizon_days)
    if as_of < first + 2.5 * horizon:
        raise TooSmallError(
            f"the events before {as_of:%Y-%m-%d} span {(as_of - first).days} days; training with a horizon of "
            f"{horizon_days} days needs two and a half horizons, {2.5 * horizon_days:g} days. Bring more history or "
            "set a shorter [outcome] horizon_days."
        )
    history = horizon if as_of >= first + 4 * horizon else horizon / 2
    count = min((as_of - first - history) // horizon, most)
    return Split(tuple(as_of - k * horizon for k in range(count, 0, -1)))


def panel_rows(
    events: EncodedEvents,
    as_of: datetime,
    horizon_days: int,
    label: str = ENGAGERS,
    features: Sequence[str] | None = None,
    users: ir.Table | None = None,
) -> pd.DataFrame:
    """Return one cutoff's rows: user, scope, features, as_of and audience (people), ordered by user and scope.

    `features` are the names of features to compute; None stands for all of the catalogue. `users` is as in
    `feature_rows`.
    """
    labels = audience_label(events, as_of, horizon_days, label)
    rows = feature_rows(events, as_of, features=features, users=users).merge(labels, on=KEYS, how="left", sort=False)
    people = rows["audience"].fillna(0)
    return rows.assign(as_of=pd.Timestamp(as_of), audience=people.astype("int64") if label == ENGAGERS else people)


def build_panel(
    events: EncodedEvents,
    split: Split,
    horizon_days: int,
    progress: Progress = ignore_progress,
    label: str = ENGAGERS,
    features: Sequence[str] | None = None,
    sample: RowSample | None = None,
) -> pd.DataFrame:
    """Concatenate the rows of all cutoffs, oldest first; the events are read and encoded once for all of them.

    `features` are the names of features to compute; None stands for all of the catalogue. With a `sample`, only its
    users are there, with the columns of `RowSample.users`.

    Raises
    ------
    TooSmallError : too few rows, or too few with an audience, to train on

    """
    frames = []
    with cached(events) as shared, sample.users(shared, split.cutoffs) if sample else nullcontext() as users:
        for k, cutoff in enumerate(split.cutoffs):
            frames.append(panel_rows(shared, cutoff, horizon_days, label, features, users))
            progress((k + 1) / len(split.cutoffs))
    panel = pd.concat(frames, ignore_index=True)
    _check_size(events, panel[panel["as_of"] < pd.Timestamp(split.newest)])
    return panel


def _check_size(events: EncodedEvents, rows: pd.DataFrame) -> None:
    positive = int((rows["audience"] > 0).sum())
    if len(rows) < MIN_TRAINING_ROWS or positive < MIN_TRAINING_AUDIENCE:
        first, last = time_range(events.rows)
        raise TooSmallError(
            f"the community is too small to train on: the events reach from {first:%Y-%m-%d} to {last:%Y-%m-%d}, and "
            f"the older cutoffs hold {len(rows)} rows of a user at an instant, {positive} of them with an audience; "
            f"expected {MIN_TRAINING_ROWS} and {MIN_TRAINING_AUDIENCE} or more. Bring more users or more history; if a "
            "stray event is later than the others, give --as-of."
        )


def present_rows(
    events: EncodedEvents, split: Split, horizon_days: int, sample: RowSample | None = None
) -> pd.DataFrame:
    """Return the models' features at the instant at which the horizon of a split's newest cutoff ends.

    `sample` is as in `build_panel`.
    """
    as_of = split.newest + timedelta(days=horizon_days)
    with cached(events) as shared, sample.users(shared, (*split.cutoffs, as_of)) if sample else nullcontext() as users:
        return feature_rows(shared, as_of, features=INPUTS.names, users=users)


def rows_at(panel: pd.DataFrame, *cutoffs: datetime, most: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Select the rows of some cutoffs, at most `most` of them, sampled at random."""
    chosen = np.flatnonzero(panel["as_of"].isin([pd.Timestamp(cutoff) for cutoff in cutoffs]))
    if most is not None and len(chosen) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, most, replace=False))
    return panel if len(chosen) == len(panel) else panel.iloc[chosen].reset_index(drop=True)


def in_scope(rows: pd.DataFrame, scope: str) -> pd.DataFrame:
    """Select the rows of one scope."""
    return rows[rows["scope"] == scope].reset_index(drop=True)
