"""Past predictions: what earlier snapshots predicted for a user, beside what then happened.

What happened comes from a later snapshot: one horizon after a prediction, a feature counts the people who engaged in
the horizon. Unlike the audience that models learn, this feature also counts follows in return for a follow.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isnan
from pathlib import Path
from typing import TypeVar

import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.catalogue import CATALOGUE
from features.errors import SnapshotError
from features.utc import UtcText, parse_utc, to_iso_utc
from serving.review.history import History, PastScore, row_groups
from serving.snapshots import layout
from serving.snapshots.explanation import SCORED
from serving.snapshots.feature_rows import map_rows
from serving.snapshots.repository import list_snapshots
from training.home import Home
from training.model.bundle_files import FACTS_FILE

T = TypeVar("T")
log = logging.getLogger("clout")
# A later snapshot counts if it lies this close to the end of the horizon.
TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class PastPrediction:
    """A prediction, and what then happened.

    Parameters
    ----------
    score : the prediction
    happened : the people who engaged within the horizon; None if no later snapshot can tell
    counted_at : the instant of the snapshot that tells
    inside : whether `happened` lies in the interval of the prediction
    is_forecast : whether the model was trained on events before the prediction only

    """

    score: PastScore
    happened: float | None
    counted_at: UtcText | None
    inside: bool | None
    is_forecast: bool


def past_predictions(home: Home, history: History) -> tuple[PastPrediction, ...]:
    """Compare the scores of a history with what happened within their horizons, oldest first.

    Scores without enough evidence predict nothing and are omitted; so are those whose model is damaged. A later
    snapshot that is damaged cannot tell what happened.
    """
    folders = {layout.age_order(folder)[0]: folder for folder in reversed(list_snapshots(home))}
    scores = [score for score in history.scores if score.status == SCORED]
    predictions = (_past_prediction(home, folders, history, score) for score in scores)
    return tuple(prediction for prediction in predictions if prediction is not None)


def _past_prediction(
    home: Home, folders: dict[datetime, Path], history: History, score: PastScore
) -> PastPrediction | None:
    """Compare a score with what a later snapshot says; of several of one instant, the newest version's."""
    as_of = parse_utc(score.as_of)
    training = _if_undamaged(lambda: _training(home.snapshots / layout.folder_name(as_of, score.model_version)))
    if training is None:
        return None
    label, trained = training
    end = as_of + timedelta(days=score.horizon_days)
    later = [at for at in folders if abs(at - end) <= TOLERANCE]
    counted_at = min(later, key=lambda at: abs(at - end), default=None)
    happened = None
    if counted_at is not None:
        later_folder, feature = folders[counted_at], f"{label}_{score.horizon_days}d"
        happened = _if_undamaged(lambda: _feature(later_folder, history, feature))
    return PastPrediction(
        score=score,
        happened=happened,
        counted_at=None if happened is None or counted_at is None else to_iso_utc(counted_at),
        inside=None if happened is None else score.interval.low <= round(happened) <= score.interval.high,
        is_forecast=trained <= as_of,
    )


def _if_undamaged(read: Callable[[], T]) -> T | None:
    """Return what is read from a snapshot; None, with a line in the log, where its file is damaged."""
    try:
        return read()
    except SnapshotError as error:
        log.warning("past predictions skip a file: %s", error)
        return None


def _training(folder: Path) -> tuple[str, datetime]:
    """Return the label of a snapshot's model, and until when events were used to train it."""
    file = folder / layout.BUNDLE_FOLDER / FACTS_FILE
    with layout.read_errors_as_damage(file):
        facts = json.loads(file.read_text())["facts"]
        return facts["config"]["outcome"].get("label", "engagers"), parse_utc(facts["as_of"])


def _feature(folder: Path, history: History, name: str) -> float | None:
    """Return a feature of the user in a snapshot: 0 without the user, None where it is absent or unknown."""
    if name not in CATALOGUE:
        return None
    with layout.read_errors_as_damage(folder / layout.FEATURES_FILE):
        features = map_rows(folder / layout.FEATURES_FILE)
        if name not in features.features:
            return None
        row = _row_number(folder / layout.SCORES_FILE, history.user, history.scope)
        value = 0.0 if row is None else features.row(row)[name]
        return None if isnan(value) else value


def _row_number(file: Path, user: str, scope: str) -> int | None:
    """Return the row of a user and scope in a snapshot; only the row groups that may hold the user are read."""
    with pq.ParquetFile(file) as scores:
        starts = [0]
        for group in range(scores.num_row_groups):
            starts.append(starts[-1] + scores.metadata.row_group(group).num_rows)
        for group in row_groups(scores, user):
            ids = scores.read_row_group(group, columns=["user", "scope"], use_threads=False)
            matches = pc.and_(pc.equal(ids["user"], user), pc.equal(ids["scope"], scope))
            row = int(pc.index(matches, True).as_py())
            if row >= 0:
                return starts[group] + row
    return None
