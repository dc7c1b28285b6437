"""Tuning: try settings of the booster by walking forward over past cutoffs; among equals, the cheapest wins."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import SCORED
from features.errors import TooSmallError
from features.events.scopes import ALL
from features.progress import Progress, ignore_progress
from training.config import Model
from training.dataset.panel import in_scope, rows_at
from training.evaluation.metrics import RANKING, ranking
from training.evaluation.report import TrialRow
from training.model.booster import fit_booster, margins
from training.model_selection.optuna_study import SPACE, open_study, run_trial, trial_rows

TRIALS = "tuning.db"
MOST_FOLDS = 4
TOLERANCE_OF_ONE_FOLD = 0.002


@dataclass(frozen=True)
class TuningResult:
    """The chosen model, how many trials of the study finished and were pruned, and a row for each of them."""

    model: Model
    finished: int
    pruned: int
    table: tuple[TrialRow, ...]


@dataclass(frozen=True)
class Fold:
    """One step forward: the cutoffs to learn from, and the one after them to evaluate on."""

    older: tuple[datetime, ...]
    test: datetime


def tune(
    panel: pd.DataFrame,
    cutoffs: tuple[datetime, ...],
    base: Model,
    trials: int,
    storage: Path | None = None,
    progress: Progress = ignore_progress,
) -> TuningResult:
    """Try settings of the booster on past cutoffs, and choose one by `cheapest_within_one_error`.

    The first trial is `base`; a tree-structured Parzen estimator samples the others from `SPACE`, widened to contain
    `base`. A trial's value is the mean of `fold_value` over the folds. After its second or a later fold, a trial whose
    best lead over `base` since then is below the median of the finished ones is pruned. 12 trials and 8 more later give
    the same result as 20 at once.

    Parameters
    ----------
    panel : rows of at least `cutoffs`; other rows are ignored
    cutoffs : oldest first, one horizon apart, so that an older one's outcome is complete when the next one begins;
        without the newest complete horizon, for which figures are published
    base : the present settings; those not in `SPACE`, such as the seed, stay as they are
    trials : of the study, at least 1, including those of earlier calls; interrupted ones do not count
    storage : an SQLite file in which the same training finds its trials again; None keeps them in memory
    progress : called with the share that is done

    Raises
    ------
    TooSmallError : no cutoff with an audience comes after another one
    OutputError : the storage cannot be read or written

    """
    folds = [partial(fold_value, panel, fold) for fold in walk_forward(panel, cutoffs)]
    with open_study(storage, study_name(panel, cutoffs, base)) as study:
        done = len(trial_rows(study))
        progress(min(done / trials, 1.0))
        for number in range(done, trials):
            run_trial(study, base, folds, partial(_report_trial, progress, number, trials))
            progress((number + 1) / trials)
        return _result(trial_rows(study), base)


def _report_trial(progress: Progress, number: int, trials: int, share: float) -> None:
    progress((number + share) / trials)


def _result(rows: list[TrialRow], base: Model) -> TuningResult:
    chosen = cheapest_within_one_error(rows)
    finished = sum(row.state == "finished" for row in rows)
    table = tuple(replace(row, chosen=row is chosen) for row in rows)
    return TuningResult(base.model_copy(update=chosen.parameters), finished, len(rows) - finished, table)


def walk_forward(panel: pd.DataFrame, cutoffs: tuple[datetime, ...]) -> list[Fold]:
    """Return the last folds, four at most, oldest first, in which both sides have an audience.

    Raises
    ------
    TooSmallError : there is none

    """
    usable = [cutoff for cutoff in cutoffs if in_scope(rows_at(panel, cutoff), ALL)["audience"].any()]
    if len(usable) < 2:
        raise TooSmallError(
            "tuning learns on past cutoffs and evaluates on a later one: it needs two of them with an audience, and "
            f"{len(usable)} of {len(cutoffs)} have one. Bring more history, set a shorter [outcome] horizon_days or "
            "more [panel] cutoffs, or train without --tune."
        )
    folds = [Fold(tuple(older for older in cutoffs if older < test), test) for test in usable[1:]]
    return folds[-MOST_FOLDS:]


def fold_value(panel: pd.DataFrame, fold: Fold, model: Model) -> float:
    """Fit on the older cutoffs, all scopes; return the mean of AUC, NDCG@100 and R2 of logs in the scope `all`."""
    booster = fit_booster(rows_at(panel, *fold.older), model)
    test = in_scope(rows_at(panel, fold.test), ALL)
    margin = margins(booster, test)
    audience = test["audience"].to_numpy(float)
    return float(np.mean(list(ranking(audience, margin, np.exp(margin)).values())))


def cheapest_within_one_error(rows: list[TrialRow]) -> TrialRow:
    """Choose among the finished trials those that tie with the best one, and of them the cheapest to explain.

    A trial ties if its value is below the best by no more than one standard error of the differences between the two,
    paired by fold (`std(best - trial, ddof=1) / sqrt(folds)`), or by no more than 0.002 where there is only one fold.
    Of equal costs the higher value wins, then the earlier trial.
    """
    finished = [(row.value, row) for row in rows if row.value is not None]
    highest, best = max(finished, key=lambda pair: pair[0])
    tied = [pair for pair in finished if highest - pair[0] <= _tolerance(best.folds, pair[1].folds)]
    return min(tied, key=lambda pair: (cost(pair[1].parameters), -pair[0], pair[1].trial))[1]


def _tolerance(best: list[float], other: list[float]) -> float:
    if len(best) < 2:
        return TOLERANCE_OF_ONE_FOLD
    return float(np.std(np.subtract(best, other), ddof=1) / np.sqrt(len(best)))


def cost(parameters: dict[str, Any]) -> int:
    """Return the cost of an exact explanation, `trees * leaves * depth^2` (TreeSHAP, Lundberg et al. 2020)."""
    return int(parameters["trees"] * 2 ** parameters["depth"] * parameters["depth"] ** 2)


def study_name(panel: pd.DataFrame, cutoffs: tuple[datetime, ...], base: Model) -> str:
    """Name the study by a hash of everything that makes its trials comparable, so another training starts a new one."""
    outcomes = [rows_at(panel, cutoff)["audience"] for cutoff in cutoffs]
    content = {
        "cutoffs": [cutoff.isoformat() for cutoff in cutoffs],
        "rows": [len(audience) for audience in outcomes],
        "audience": [int(audience.sum()) for audience in outcomes],
        "catalogue": SCORED.fingerprint,
        "base": base.model_dump(),
        "space": SPACE,
        "value": [MOST_FOLDS, *RANKING],
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
