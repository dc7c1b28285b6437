"""Tuning: settings of the booster tried by walking forward over past cutoffs; of equals, the cheapest wins."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from features.catalogue import SCORED
from features.errors import TooSmallError
from features.events.scopes import ALL
from training.config import Model
from training.dataset.panel import in_scope, rows_at
from training.evaluation.metrics import RANKING, ranking
from training.model.booster import fit_booster, margins
from training.model_selection.optuna_study import SPACE, opened, run_trial, trial_rows

TRIALS = "tuning.db"
MOST_FOLDS = 4
TOLERANCE_OF_ONE_FOLD = 0.002


@dataclass(frozen=True)
class TuningResult:
    """The chosen model, how many trials of the study are finished and pruned, and a row for each of them."""

    model: Model
    finished: int
    pruned: int
    table: list[dict]


@dataclass(frozen=True)
class Fold:
    """One step forward: the cutoffs to learn from, and the one after them to judge on."""

    older: tuple[datetime, ...]
    judged: datetime


def tune(
    panel: pd.DataFrame,
    cutoffs: tuple[datetime, ...],
    base: Model,
    trials: int,
    storage: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> TuningResult:
    """Try settings of the booster on past cutoffs, and choose as `cheapest_within_one_error` says.

    The first trial is `base`; the others are drawn from `SPACE`, widened to hold `base`, by a tree-structured Parzen
    estimator. A trial's value is the mean of `fold_value` over the folds. After its second or a later fold, a trial
    whose best lead over `base` since then is below the median of the finished ones is pruned. 12 trials and later 8
    come to what 20 at once come to.

    Parameters
    ----------
    panel : rows of at least `cutoffs`; other rows are not looked at
    cutoffs : oldest first, one horizon apart, so that an older one's outcome is complete when the next one begins;
        without the newest complete horizon, for which figures are published
    base : the present settings; those not in `SPACE`, such as the seed, are kept
    trials : of the study, at least 1, those of earlier calls included; what was broken off does not count
    storage : an SQLite file in which the same training finds its trials again; None keeps them in memory
    progress : called with the share that is done

    Raises
    ------
    TooSmallError : no cutoff with an audience comes after another one
    OutputError : the storage cannot be read or written

    """
    folds = [partial(fold_value, panel, fold) for fold in walk_forward(panel, cutoffs)]
    with opened(storage, study_name(panel, cutoffs, base)) as study:
        done = len(trial_rows(study))
        progress(min(done / trials, 1.0))
        for number in range(done, trials):
            run_trial(study, base, folds, partial(_tell, progress, number, trials))
            progress((number + 1) / trials)
        return _tuned(trial_rows(study), base)


def _tell(progress: Callable[[float], None], number: int, trials: int, share: float) -> None:
    progress((number + share) / trials)


def _tuned(table: list[dict], base: Model) -> TuningResult:
    pick = cheapest_within_one_error(table)
    finished = sum(row["state"] == "finished" for row in table)
    told = [{**row, "chosen": row is pick} for row in table]
    return TuningResult(base.model_copy(update=pick["parameters"]), finished, len(table) - finished, told)


def walk_forward(panel: pd.DataFrame, cutoffs: tuple[datetime, ...]) -> list[Fold]:
    """Return the last folds, four at most, oldest first, in which both sides have an audience.

    Raises
    ------
    TooSmallError : there is none

    """
    heard = [cutoff for cutoff in cutoffs if in_scope(rows_at(panel, cutoff), ALL)["audience"].any()]
    if len(heard) < 2:
        raise TooSmallError(
            "tuning learns on past cutoffs and judges on a later one: it needs two of them with an audience, found are "
            f"{len(heard)} among {len(cutoffs)}. Bring more history, set a shorter [outcome] horizon_days or more "
            "[panel] cutoffs, or train without --tune."
        )
    folds = [Fold(tuple(older for older in cutoffs if older < judged), judged) for judged in heard[1:]]
    return folds[-MOST_FOLDS:]


def fold_value(panel: pd.DataFrame, fold: Fold, model: Model) -> float:
    """Fit on the older cutoffs, all scopes; return the mean of AUC, NDCG@100 and R2 of logs in the scope `all`."""
    booster = fit_booster(rows_at(panel, *fold.older), model)
    judged = in_scope(rows_at(panel, fold.judged), ALL)
    margin = margins(booster, judged)
    audience = judged["audience"].to_numpy(float)
    return float(np.mean(list(ranking(audience, margin, np.exp(margin)).values())))


def cheapest_within_one_error(table: list[dict]) -> dict:
    """Choose among the finished trials those that tie with the best one, and of them the cheapest to explain.

    A trial ties if its value is below the best by no more than one standard error of the differences between the two,
    paired by fold (`std(best - trial, ddof=1) / sqrt(folds)`), or by no more than 0.002 where there is only one fold.
    Of equal costs the higher value wins, then the earlier trial.
    """
    finished = [row for row in table if row["value"] is not None]
    best = max(finished, key=lambda row: row["value"])
    tied = [row for row in finished if best["value"] - row["value"] <= _tolerance(best["folds"], row["folds"])]
    return min(tied, key=lambda row: (cost(row["parameters"]), -row["value"], row["trial"]))


def _tolerance(best: list[float], other: list[float]) -> float:
    if len(best) < 2:
        return TOLERANCE_OF_ONE_FOLD
    return float(np.std(np.subtract(best, other), ddof=1) / np.sqrt(len(best)))


def cost(parameters: dict) -> int:
    """Return what an exact explanation costs, `trees * leaves * depth^2` (TreeSHAP, Lundberg et al. 2020)."""
    return parameters["trees"] * 2 ** parameters["depth"] * parameters["depth"] ** 2


def study_name(panel: pd.DataFrame, cutoffs: tuple[datetime, ...], base: Model) -> str:
    """Name the study after all that makes its trials comparable, so that another training starts anew."""
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
