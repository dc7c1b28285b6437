"""Trials of the booster's settings, sampled, pruned and stored by Optuna; interrupted runs give the same trials."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import OutputError, first_line
from features.progress import Progress
from training.config import Model
from training.evaluation.report import TrialRow

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
    return [_row(number, trial) for number, trial in enumerate(_ended_trials(study), start=1)]


def _row(number: int, trial: "FrozenTrial") -> TrialRow:
    finished = trial.state.name == "COMPLETE"
    return TrialRow(
        trial=number,
        state="finished" if finished else "pruned",
        value=trial.value if finished else None,
        folds=trial.user_attrs["folds"],
        parameters=trial.user_attrs["parameters"],
    )
