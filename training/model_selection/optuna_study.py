"""Trials of the booster's settings: drawn, pruned and kept by Optuna, the same however often they are broken off."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import OutputError
from training.config import Model

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
def opened(storage: Path | None, name: str) -> Iterator["Study"]:
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
        place = f"sqlite:///{storage.resolve()}" if storage else None
        yield optuna.create_study(
            storage=place, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (OptunaError, SQLAlchemyError, OSError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise OutputError(f"trials cannot be kept in {storage}: {told}. Move that file away, or free it.") from error


def run_trial(
    study: "Study", base: Model, folds: Sequence[Callable[[Model], float]], progress: Callable[[float], None]
) -> None:
    """Run the next trial: its settings, then its value fold by fold, until it is done or pruned.

    It draws with a seed of its own, made of the base's and of the number of trials before it, and looks only at those,
    never at what was broken off. Reported to the pruner is the lead over the first trial in the folds so far, since
    folds differ in how hard they are; the first fold alone, which learns from the fewest rows, is not: Optuna holds a
    trial's best report against the median of the others, and a lucky start would let nearly all pass.

    Parameters
    ----------
    study : from `opened`
    base : the settings of the first trial, also where that was broken off before
    folds : each returns the value of settings on one fold
    progress : called with the share of the folds that is done

    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    before = _counted(study)
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
    progress: Callable[[float], None],
) -> float:
    from optuna import TrialPruned

    model = _drawn(trial, base)
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


def _drawn(trial: "Trial", base: Model) -> Model:
    """Draw settings to four digits, so that they can be written down; the first trial is `base` to the last digit."""
    drawn = {}
    for name, held in SPACE.items():
        suggest = trial.suggest_int if isinstance(held["low"], int) else trial.suggest_float
        drawn[name] = float(f"{suggest(name, **_holding(getattr(base, name), held)):.4g}")
    return base if trial.user_attrs.get("base") else Model.model_validate({**base.model_dump(), **drawn})


def _holding(value: float, held: dict[str, Any]) -> dict[str, Any]:
    """Widen a range, and shift its steps, so that it holds a value."""
    low, high, step = min(held["low"], value), max(held["high"], value), held.get("step")
    if step is None:
        return {**held, "low": low, "high": high}
    low = value - (value - low) // step * step
    return {**held, "low": low, "high": low + (high - low) // step * step}


def _counted(study: "Study") -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def trial_rows(study: "Study") -> list[dict]:
    """Return a row per trial that came to an end, oldest first, with its value, None if it was pruned."""
    return [_row(number, trial) for number, trial in enumerate(_counted(study), start=1)]


def _row(number: int, trial: "FrozenTrial") -> dict:
    finished = trial.state.name == "COMPLETE"
    return {
        "trial": number,
        "state": "finished" if finished else "pruned",
        "value": trial.value if finished else None,
        **{key: trial.user_attrs[key] for key in ("folds", "parameters")},
    }
