"""Past outcomes: what a snapshot predicted one horizon ago, beside what a later snapshot counts.

A feature of the later snapshot counts the people who engaged within the horizon. Unlike the audience that models learn,
it also counts follows in return for a follow.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from features.errors import SnapshotError
from features.utc import UtcText, parse_utc, to_iso_utc
from serving.snapshots.layout import FEATURES_FILE, age_order, read_errors_as_damage
from serving.snapshots.repository import AbsentSnapshotError, list_snapshots
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT
from training.home import Home

# The later snapshot lies this close to the end of the horizon.
TOLERANCE = timedelta(days=1)
EDGES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)
COLUMNS = ["user", "expected_audience", "low", "high", "evidence"]


@dataclass(frozen=True)
class OutcomeBand:
    """The users whose predicted audience lies in `[low, high)` people; `high` is None for the last band.

    `predicted` and `happened` are mean people, `coverage` is the share of users inside their interval.
    """

    low: float
    high: float | None
    users: int
    predicted: float
    happened: float
    coverage: float


@dataclass(frozen=True)
class PastOutcomes:
    """What was predicted for the scored users of a scope, and what happened.

    Parameters
    ----------
    as_of, counted_at : the instants of the prediction and of the snapshot that counts
    model_version, horizon_days, level : of the prediction; the share of users that its intervals should hold
    is_forecast : whether the model had seen no event after the prediction
    users, predicted, happened : how many users, and the sums of their predicted and real people
    coverage : share of users inside their interval
    bands : by predicted audience, without empty ones

    """

    as_of: UtcText
    counted_at: UtcText
    model_version: str
    horizon_days: int
    level: float
    is_forecast: bool
    users: int
    predicted: float
    happened: float
    coverage: float
    bands: tuple[OutcomeBand, ...]


def prediction_instant(home: Home, after: Snapshot) -> datetime:
    """Return the instant of the snapshot that lies one horizon before another, within a day.

    Raises
    ------
    AbsentSnapshotError : there is none

    """
    start = after.as_of - timedelta(days=after.horizon_days)
    instants = {age_order(folder)[0] for folder in list_snapshots(home)}
    near = [at for at in instants if abs(at - start) <= TOLERANCE]
    if not near:
        raise AbsentSnapshotError(
            f"no snapshot lies {after.horizon_days} days before {to_iso_utc(after.as_of)}, so nothing was predicted "
            "whose outcome this one counts. Score once in every horizon to see what came of it."
        )
    return min(near, key=lambda at: abs(at - start))


def past_outcomes(before: Snapshot, after: Snapshot, scope: str = "all") -> PastOutcomes:
    """Compare the predictions of a snapshot with what another one counts one horizon later.

    Raises
    ------
    SnapshotError : it does not count what the model of `before` predicts, or a file is damaged

    """
    users = _predictions(before, scope).join(_audiences(before, after, scope), on="user").fillna({"happened": 0.0})
    inside = (users["low"] <= users["happened"].round()) & (users["happened"].round() <= users["high"])
    return PastOutcomes(
        as_of=to_iso_utc(before.as_of),
        counted_at=to_iso_utc(after.as_of),
        model_version=before.model_version,
        horizon_days=before.horizon_days,
        level=before.level,
        is_forecast=parse_utc(before.bundle.facts["as_of"]) <= before.as_of,
        users=len(users),
        predicted=float(users["expected_audience"].sum()),
        happened=float(users["happened"].sum()),
        coverage=float(inside.mean()) if len(users) else 0.0,
        bands=_bands(users.assign(inside=inside)),
    )


def _predictions(before: Snapshot, scope: str) -> pd.DataFrame:
    rows = pa.array(before.rows_of_scope(scope))
    table: pd.DataFrame = before.scores.select(COLUMNS).take(rows).to_pandas()
    return table[table["evidence"] != INSUFFICIENT]


def _audiences(before: Snapshot, after: Snapshot, scope: str) -> "pd.Series[float]":
    """Return the people who engaged with each user within the horizon before a snapshot, by user."""
    feature = f"{before.bundle.label}_{before.horizon_days}d"
    if feature not in after.features.features:
        raise SnapshotError(
            f"the snapshot as of {to_iso_utc(after.as_of)} does not count {feature}, which the model predicts."
        )
    rows = after.rows_of_scope(scope)
    with read_errors_as_damage(after.folder / FEATURES_FILE):
        counts = after.features.columns([feature])[feature].to_numpy(float, na_value=0.0)[rows]
    return pd.Series(counts, after.scores.column("user").take(pa.array(rows)).to_pandas(), name="happened")


def _bands(users: pd.DataFrame) -> tuple[OutcomeBand, ...]:
    codes = np.searchsorted(EDGES, users["expected_audience"].to_numpy(float), side="right") - 1
    return tuple(
        OutcomeBand(
            low=EDGES[code],
            high=EDGES[code + 1] if code + 2 < len(EDGES) else None,
            users=len(band),
            predicted=float(band["expected_audience"].mean()),
            happened=float(band["happened"].mean()),
            coverage=float(band["inside"].mean()),
        )
        for code in np.unique(codes).tolist()
        for band in [users[codes == code]]
    )
