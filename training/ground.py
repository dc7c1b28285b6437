"""The ground of attacks: a community at an instant, the model that is attacked in it, and everybody's points there."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.acts import acts as keyed
from features.acts import kept
from features.scopes import ALL
from features.table import feature_rows
from training.baselines import BASELINES, baselines
from training.bundle import Bundle

SCORING, TRAINING = "scoring", "training"
SCORE = "score"


@dataclass(frozen=True)
class Ground:
    """A community at an instant and the model that is attacked in it.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant
    best : the baseline that ranks honest users best
    mode : how the attackers of `poisoners` came in: SCORING, there are none; TRAINING, the model learnt among them
    poisoners : accounts that attacked before; they take no part, and nobody's points are ranked among theirs

    """

    events: ir.Table
    bundle: Bundle
    as_of: datetime
    best: str
    mode: str = SCORING
    poisoners: Collection[str] = field(default_factory=frozenset)


def points(ground: Ground, events: ir.Table | None = None, before: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the points of all but poisoners under the score and each baseline, by user.

    Baselines are ranked among the users `before` and given the points that stand at that rank among scores then.
    """
    acts = keyed(ground.events if events is None else events, (ALL,))
    with kept(acts.seeded(ground.bundle.seeds)) as known:
        rows = feature_rows(known, ground.as_of)
        signals = baselines(known, rows, ground.as_of)
    honest = ~rows["user"].isin(ground.poisoners).to_numpy()
    rows, signals = rows[honest].set_index("user", drop=False), signals[honest].set_axis(rows["user"][honest])
    score = ground.bundle.predict(rows)[SCORE]
    users = rows.index if before is None else before.index
    scale = np.sort((score if before is None else before[SCORE]).to_numpy())
    given = {name: at_rank(signals[name], signals.loc[users, name].to_numpy(), scale) for name in BASELINES}
    return pd.DataFrame({SCORE: score, **given}, index=rows.index)


def at_rank(signal: pd.Series, among: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the points at each signal's rank, ties at their middle."""
    ranked = np.sort(among)
    rank = (np.searchsorted(ranked, signal, "left") + np.searchsorted(ranked, signal, "right")) / 2
    return np.interp(rank / len(ranked), (np.arange(len(scale)) + 0.5) / len(scale), scale)
