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
from serving.snapshots.peers import allowances_of_absent, median_allowance
from serving.snapshots.scored_rows import ScoredRows
from training.explanation.feature_constraints import ABSENT, AGE, SINCE
from training.model.baseline import ACTS, UNANSWERED, Baseline, is_active, measure_baselines
from training.model.bundle import Bundle
from training.selection.file_arrays import GroupedFileArray

LEAST_ACTIVE = 30  # users of a scope; with fewer, explanations are relative to those of the community
MOST_AVERAGED = 10_000
SHARES, PERCENTILES = 1_000, 100


def scope_baselines(bundle: Bundle, scored: ScoredRows, as_of: datetime) -> dict[str, Baseline]:
    """Average the active users of every scope that has enough of them.

    Of more than 10,000 active users, as many at equal distances are averaged.
    """
    rows, scores, allowances = GroupedFileArray(np.int64), GroupedFileArray(np.float64), GroupedFileArray(np.float64)
    start = 0
    for batch in scored.batches(["scope", "score", ACTS, ABSENT, SINCE, AGE, *UNANSWERED]):
        users = batch.to_pandas()
        active = is_active(users)
        for scope, of_scope in users.groupby("scope").indices.items():
            of_active = of_scope[active[of_scope]]
            rows.append(str(scope), start + of_active)
            scores.append(str(scope), users["score"].to_numpy()[of_active])
            allowances.append(str(scope), allowances_of_absent(users.iloc[of_scope]))
        start += len(users)
    numbers, chosen = dict[str, int](), [np.zeros(0, np.int64)]
    for scope, of_active in rows.by_group():
        if len(of_active) >= LEAST_ACTIVE:
            numbers[scope] = len(of_active)
            chosen.append(_at_equal_distances(of_active))
    sample = scored.take(np.sort(np.concatenate(chosen)), ["scope", *bundle.features])
    averages = measure_baselines(bundle, sample, as_of, numbers)
    shares = {scope: _at_every_share(of_active) for scope, of_active in scores.by_group() if scope in averages}
    percentiles = _percentiles(bundle, sample)
    days = {scope: median_allowance(of_absent) for scope, of_absent in allowances.by_group()}
    return {
        scope: replace(baseline, active_days=days[scope], scores=shares[scope], percentiles=percentiles[scope])
        for scope, baseline in averages.items()
    }


def _percentiles(bundle: Bundle, rows: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Return the percentiles of `Baseline` of each scope, of features that are known of all its rows."""
    names = [name for name in bundle.features if name not in bundle.bounded_features]
    return {
        str(scope): {
            str(name): _at_every_share(values.to_numpy(float, copy=True), PERCENTILES)
            for name, values in of_scope[names].items()
            if not values.isna().any()
        }
        for scope, of_scope in rows.groupby("scope")
    }


def _at_every_share(values: np.ndarray, shares: int = SHARES) -> list[float]:
    """Return the values that equal shares of users do not exceed: 0.1 %, 0.2 % and so on to all. Sort in place."""
    positions = np.ceil(np.arange(1, shares + 1) * len(values) / shares - 1e-9).astype(int) - 1
    values.sort()
    return [float(value) for value in values[positions]]


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
