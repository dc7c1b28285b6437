"""The baselines of a snapshot's explanations: the average active user of every scope, stored with the scores."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from features.events.scopes import ALL
from serving.snapshots.layout import BASELINES_FILE
from serving.snapshots.peers import absence_allowance
from serving.snapshots.scored_rows import ScoredRows
from training.explanation.feature_constraints import ABSENT, AGE, SINCE
from training.model.baseline import ACTS, UNANSWERED, Baseline, is_active, measure_baselines
from training.model.bundle import Bundle

LEAST_ACTIVE = 30  # users of a scope; with fewer, explanations are relative to those of the community
MOST_AVERAGED = 10_000
SHARES = 1_000


def scope_baselines(bundle: Bundle, scored: ScoredRows, as_of: datetime) -> dict[str, Baseline]:
    """Average the active users of every scope that has enough of them.

    Of more than 10,000 active users, as many at equal distances are averaged.
    """
    users = scored.frame(["scope", "score", ACTS, ABSENT, SINCE, AGE, *UNANSWERED])
    positions = pd.Series(np.arange(len(users)))[is_active(users)]
    active = {
        str(scope): rows.to_numpy() for scope, rows in positions.groupby(users["scope"]) if len(rows) >= LEAST_ACTIVE
    }
    if not active:
        return {}
    chosen = np.sort(np.concatenate([_at_equal_distances(rows) for rows in active.values()]))
    sample = scored.take(chosen, ["scope", *bundle.features])
    averages = measure_baselines(bundle, sample, as_of, {scope: len(rows) for scope, rows in active.items()})
    return {
        scope: replace(
            baseline,
            active_days=absence_allowance(users[users["scope"] == scope]),
            scores=_at_every_share(users["score"].to_numpy()[active[scope]]),
        )
        for scope, baseline in averages.items()
    }


def _at_every_share(scores: np.ndarray) -> list[float]:
    """Return the scores that 0.1 %, 0.2 % and so on to all of the users do not exceed, shape (1000,)."""
    positions = np.ceil(np.arange(1, SHARES + 1) * len(scores) / SHARES - 1e-9).astype(int) - 1
    return [float(score) for score in np.sort(scores)[positions]]


def baseline_of(scope: str, baselines: Mapping[str, Baseline], bundle: Bundle) -> Baseline:
    """Return whom points of a scope are relative to: its active users, else those of the community."""
    return baselines.get(scope) or baselines.get(ALL) or bundle.baseline


def _at_equal_distances(rows: np.ndarray) -> np.ndarray:
    if len(rows) <= MOST_AVERAGED:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, MOST_AVERAGED).astype(int)])


def write_baselines(baselines: Mapping[str, Baseline], folder: Path) -> None:
    """Write the baselines into the folder of a snapshot."""
    facts = {scope: asdict(baseline) for scope, baseline in baselines.items()}
    (folder / BASELINES_FILE).write_text(json.dumps(facts, indent=1) + "\n")


def read_baselines(folder: Path) -> dict[str, Baseline]:
    """Read the baselines of a snapshot by scope; an older version's snapshot has none."""
    file = folder / BASELINES_FILE
    if not file.exists():
        return {}
    return {scope: Baseline(**facts) for scope, facts in json.loads(file.read_text()).items()}
