"""Tuning: try settings of the booster by walking forward over past cutoffs; among equals, the cheapest wins.

Optuna samples, prunes and stores the trials; interrupted runs give the same trials.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.catalogue import INPUTS
from features.errors import OutputError, TooSmallError, first_line
from features.events.scopes import ALL
from features.progress import Progress, ignore_progress
from training.config import Model
from training.dataset.panel import in_scope, rows_at
from training.dataset.sampling import representative
from training.evaluation.metrics import RANKING, ranking
from training.evaluation.report_types import TrialRow
from training.model.bounded_term import fit_boosters

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

SPACE: dict[str, dict[str, Any]] = {
    "trees": {"low": 50, "high": 400, "step": 25},
    "depth": {"low": 2, "high": 6},
    "learning_rate": {"low": 0.01, "high": 0.15, "log": True},
    "row_share": {"low": 0.3, "high": 1.0},
    "feature_share": {"low": 0.15, "high": 1.0},
    "min_users_per_leaf": {"low": 10, "high": 400, "log": True},
    "variance_power": {"low": 1.05, "high": 1.8},
}
UNPRUNED_TRIALS = 5
UNPRUNED_FOLDS = 2
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
        rows = trial_rows(study)
    chosen = cheapest_within_one_error(rows)
    finished = sum(row.state == "finished" for row in rows)
    table = tuple(replace(row, chosen=row is chosen) for row in rows)
    return TuningResult(base.model_copy(update=chosen.parameters), finished, len(rows) - finished, table)


def _report_trial(progress: Progress, number: int, trials: int, share: float) -> None:
    progress((number + share) / trials)


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
    test = in_scope(representative(rows_at(panel, fold.test)), ALL)
    margin = fit_boosters(rows_at(panel, *fold.older), model).margins(test)
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
    totals = rows_at(panel, *cutoffs)[INPUTS.names].sum()
    content = {
        "cutoffs": [cutoff.isoformat() for cutoff in cutoffs],
        "rows": [len(audience) for audience in outcomes],
        "audience": [int(audience.sum()) for audience in outcomes],
        "features": [f"{total:.6g}" for total in totals],  # they depend on the seeds of credibility too
        "catalogue": INPUTS.fingerprint,
        "base": base.model_dump(),
        "space": SPACE,
        "value": [MOST_FOLDS, *RANKING],
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def open_study(storage: Path | None, name: str) -> Iterator["Study"]:
    """Yield the study of that name, new or continued.

    Raises
    ------
    OutputError : the file cannot be read or written, now or later inside

    """
    import optuna
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS)
    try:
        if storage:
            storage.parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{storage.resolve()}" if storage else None
        yield optuna.create_study(
            storage=url, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (OptunaError, SQLAlchemyError, OSError) as error:
        raise OutputError(
            f"trials cannot be stored in {storage}: {first_line(error)}. Move that file away, or free it."
        ) from error


def run_trial(study: "Study", base: Model, folds: Sequence[Callable[[Model], float]], progress: Progress) -> None:
    """Run the next trial: its settings, then its value fold by fold, until it is finished or pruned.

    It samples with a seed of its own, made of the base's seed and the number of trials before it, and depends only on
    those, never on interrupted trials. The pruner sees the lead over the first trial in the folds so far, since folds
    differ in difficulty; it does not see the first fold alone, which learns from the fewest rows: Optuna compares a
    trial's best report with the median of the others, and a lucky start would let nearly all pass.

    Parameters
    ----------
    study : from `open_study`
    base : the settings of the first trial, also where that was interrupted before
    folds : each returns the value of settings on one fold
    progress : called with the share of the folds that is done

    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    before = _ended_trials(study)
    seed = np.random.SeedSequence([base.seed, len(before)]).generate_state(1)[0]
    study.sampler = TPESampler(seed=int(seed), constant_liar=False)
    if not before and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(base.model_dump(include=set(SPACE)), user_attrs={"base": True})
    first = before[0].user_attrs["folds"] if before else None
    study.optimize(partial(_value, base=base, folds=folds, first=first, progress=progress), n_trials=1)


def _value(
    trial: "Trial",
    base: Model,
    folds: Sequence[Callable[[Model], float]],
    first: list[float] | None,
    progress: Progress,
) -> float:
    from optuna import TrialPruned

    model = _suggest_model(trial, base)
    trial.set_user_attr("parameters", model.model_dump(include=set(SPACE)))
    values: list[float] = []
    for step, fold in enumerate(folds):
        values.append(fold(model))
        progress(len(values) / len(folds))
        if UNPRUNED_FOLDS <= len(values) < len(folds):
            trial.report(float(np.mean(np.subtract(values, (first or values)[: len(values)]))), step)
            if trial.should_prune():
                trial.set_user_attr("folds", values)
                raise TrialPruned
    trial.set_user_attr("folds", values)
    return float(np.mean(values))


def _suggest_model(trial: "Trial", base: Model) -> Model:
    """Sample settings to four digits, so that they can be written down; the first trial is exactly `base`."""
    sampled = {}
    for name, limits in SPACE.items():
        suggest = trial.suggest_int if isinstance(limits["low"], int) else trial.suggest_float
        sampled[name] = float(f"{suggest(name, **_widen(getattr(base, name), limits)):.4g}")
    return base if trial.user_attrs.get("base") else Model.model_validate({**base.model_dump(), **sampled})


def _widen(value: float, limits: dict[str, Any]) -> dict[str, Any]:
    """Widen a range, and shift its steps, so that it contains a value."""
    low, high, step = min(limits["low"], value), max(limits["high"], value), limits.get("step")
    if step is None:
        return {**limits, "low": low, "high": high}
    low = value - (value - low) // step * step
    return {**limits, "low": low, "high": low + (high - low) // step * step}


def _ended_trials(study: "Study") -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def trial_rows(study: "Study") -> list[TrialRow]:
    """Return a row per trial that ended, oldest first."""
    rows = []
    for number, trial in enumerate(_ended_trials(study), start=1):
        state, value = ("finished", trial.value) if trial.state.name == "COMPLETE" else ("pruned", None)
        rows.append(TrialRow(number, state, value, trial.user_attrs["folds"], trial.user_attrs["parameters"]))
    return rows
