"""Ablation: measure the value of each part of the recipe, out of time, on several past cutoffs."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE, SCORED
from features.errors import TooSmallError
from features.events.scopes import ALL
from features.progress import Progress, ignore_progress
from training.config import Config, Model
from training.dataset.panel import in_scope, rows_at
from training.dataset.sampling import representative
from training.evaluation.metrics import ranking
from training.evaluation.report_types import AblationRow
from training.model.booster import fit_booster, margins, sample_weights
from training.model.bounded_term import fit_boosters, set_level, total_audience

FOLDS = 4
LEAST_OLDER = 2
UNWEIGHTED = 1e6
UNLIMITED = 1e6
PACE, FLOOR = "credible_pace_28d", 0.05
EXTENSIVE = ("people", "pieces", "people per 28 days")

Variant = Callable[[pd.DataFrame, pd.DataFrame, Model], np.ndarray]


def ablate(
    panel: pd.DataFrame, cutoffs: tuple[datetime, ...], config: Config, progress: Progress = ignore_progress
) -> tuple[AblationRow, ...]:
    """Fit each variant of the recipe on the cutoffs before each of the last four, and evaluate it there, scope `all`.

    Parameters
    ----------
    panel : rows of `cutoffs`
    cutoffs : oldest first, one horizon apart
    config : the recipe
    progress : called with the share that is done

    Returns
    -------
    a row for each of VARIANTS: means over the folds

    Raises
    ------
    TooSmallError : no cutoff has two older ones

    """
    test = folds_of(panel, cutoffs)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for done, k in enumerate(test):
        older = rows_at(panel, *cutoffs[:k])
        ahead = in_scope(rows_at(panel, cutoffs[k]), ALL)
        for name, variant in VARIANTS.items():
            rows = representative(ahead.assign(margin=variant(older, ahead, config.model)))
            figures[name].append(_figures(rows["audience"].to_numpy(float), rows["margin"].to_numpy()))
        progress((done + 1) / len(test))
    return tuple(AblationRow(name, len(test), **_means(folds)) for name, folds in figures.items())


def folds_of(panel: pd.DataFrame, cutoffs: tuple[datetime, ...]) -> list[int]:
    """Return the positions of the last cutoffs, four at most, that have an audience and two older cutoffs.

    Raises
    ------
    TooSmallError : there is none

    """
    test = [k for k in range(LEAST_OLDER, len(cutoffs)) if rows_at(panel, cutoffs[k])["audience"].any()][-FOLDS:]
    if not test:
        raise TooSmallError(
            f"an ablation is evaluated on cutoffs with two older ones, and there are {len(cutoffs)} cutoffs: bring "
            "more history or raise [panel] cutoffs."
        )
    return test


def _figures(audience: np.ndarray, margin: np.ndarray) -> dict[str, float]:
    expected = np.exp(margin)
    total = float(expected.sum() / audience.sum())
    return ranking(audience, margin, expected) | {"total": total, "level_error": abs(float(np.log(total)))}


def _means(folds: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([fold[key] for fold in folds])) for key in folds[0]}


def _recipe(older: pd.DataFrame, ahead: pd.DataFrame, model: Model, **options: Any) -> np.ndarray:
    return margins(fit_booster(older, model, **options), ahead)


def _without_newest(older: pd.DataFrame, ahead: pd.DataFrame, model: Model) -> np.ndarray:
    return _recipe(older[older["as_of"] < older["as_of"].max()], ahead, model)


def _unweighted(older: pd.DataFrame, ahead: pd.DataFrame, model: Model) -> np.ndarray:
    return _recipe(older, ahead, model.model_copy(update={"half_life": UNWEIGHTED}))


def _from_pace(older: pd.DataFrame, ahead: pd.DataFrame, model: Model) -> np.ndarray:
    """Start the boosting from the logarithm of the recent pace of credible people, at the level of the rows."""
    pace: np.ndarray = np.log(older[PACE].to_numpy(float) + FLOOR)
    pace_ahead: np.ndarray = np.log(ahead[PACE].to_numpy(float) + FLOOR)
    level = float(np.log(total_audience(older) / (np.exp(pace) * sample_weights(older)).sum()))
    margin: np.ndarray = level + pace_ahead + _recipe(older, ahead, model, start=level + pace)
    return margin


def _relative(older: pd.DataFrame, ahead: pd.DataFrame, model: Model) -> np.ndarray:
    """Divide every count of people and pieces by its mean at the same instant."""
    return _recipe(_divided(older), _divided(ahead), model)


def _divided(rows: pd.DataFrame) -> pd.DataFrame:
    counts = [feature.name for feature in SCORED if feature.unit in EXTENSIVE]
    means = rows.groupby("as_of")[counts].transform("mean")
    return rows.assign(**(rows[counts] / means.where(means > 0, 1.0)))


def _bounded_recipe(older: pd.DataFrame, ahead: pd.DataFrame, model: Model, bound: float | None = None) -> np.ndarray:
    """Fit both boosters at the level of the newest horizon; `bound` in nats, None takes that of the configuration."""
    boosters = fit_boosters(older, model if bound is None else model.model_copy(update={"bound": bound}))
    newest = in_scope(older[older["as_of"] == older["as_of"].max()], ALL)
    set_level(boosters, ahead, total_audience(newest))
    return boosters.margins(ahead)


def _level_as_learnt(older: pd.DataFrame, ahead: pd.DataFrame, model: Model) -> np.ndarray:
    return fit_boosters(older, model).margins(ahead)


# Those of `_recipe` differ from "responses from anybody left out" in one thing, and from the recipe in three: they also
# are without these responses and at the level as it was learnt.
VARIANTS: dict[str, Variant] = {
    "the recipe": _bounded_recipe,
    "responses from anybody left out": _recipe,
    "responses from anybody, 0.5 nats": partial(_bounded_recipe, bound=0.5),
    "responses from anybody unlimited": partial(_bounded_recipe, bound=UNLIMITED),
    "rows of all ages weigh alike": _unweighted,
    "the newest horizon left out": _without_newest,
    "level as it was learnt": _level_as_learnt,
    "start from pace": _from_pace,
    "counts relative to the community": _relative,
    "no monotone constraints": partial(_recipe, monotone=False),
    # every feature, including those that can be bought: the price of being hard to deceive
    "raw counts and own activity too": partial(_recipe, features=CATALOGUE),
}
