"""Fit the recipe: every part of a bundle, on a panel."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE, INPUTS, SCORED
from features.errors import TooSmallError
from features.events.scopes import ALL
from training.config import Config, Model
from training.dataset.panel import Split, in_scope, rows_at
from training.dataset.sampling import WEIGHT, representative
from training.model.booster import sample_weights
from training.model.bounded_term import Boosters, fit_boosters, set_level, total_audience
from training.model.bundle import Bundle
from training.model.chance import fit_chance
from training.model.intervals import fit_intervals
from training.model.reference_distributions import with_baseline, with_reference
from training.model.scale import Scale, make_scale

PAST_HORIZONS = 4
FittedBoosters = dict[tuple[datetime, ...], Boosters]


def fit(
    panel: pd.DataFrame,
    split: Split,
    config: Config,
    scale: Scale | None = None,
    present: pd.DataFrame | None = None,
    fitted: FittedBoosters | None = None,
) -> Bundle:
    """Fit the whole recipe: the boosters on all cutoffs, intervals and chances on the newest ones, out of time.

    Everybody together is expected to have as large an audience as in the newest horizon (`set_level`).

    Parameters
    ----------
    panel : rows of all cutoffs of `split`
    split : the cutoffs to learn from
    config : what to fit
    scale : a frozen scale; None makes a new one
    present : feature rows of the instant at which the newest horizon ends; None leaves the level as it was learnt
    fitted : boosters of earlier calls with the same panel and configuration, by their cutoffs, whose level is that of
        the horizon after them. They are not fitted again; those that this call fits are added

    Raises
    ------
    TooSmallError : nobody has an audience on the calibration cutoff

    """
    rows = rows_at(panel, *split.cutoffs)
    older, recent = next(_past_splits(panel, split))
    if not recent["audience"].any() or not older["audience"].any():
        raise TooSmallError(
            f"nobody drew an audience in the {config.outcome.horizon_days} days from {split.newest:%Y-%m-%d} or "
            "before: there is nothing to learn from. Bring a community in which people engage with each other."
        )
    fitted = {} if fitted is None else fitted
    boosters = _fit_boosters(rows, present, config.model, fitted)
    newest = in_scope(rows_at(panel, split.newest), ALL)
    recent, newest = representative(recent), representative(newest)
    active = recent["acts_365d"].to_numpy() > 0
    features = {feature.name: feature.fingerprint for feature in (INPUTS if boosters.bounded else SCORED)}
    past, expected = _predict_past(_past_splits(panel, split), list(features), config.model, fitted)
    bundle = Bundle(
        booster_text=boosters.first.model_to_string(),
        features=features,
        scale=scale or make_scale(boosters.margins(recent)[active]),
        intervals=fit_intervals(past, expected, list(features), config.interval.level),
        horizon_days=config.outcome.horizon_days,
        facts=_facts(rows, split, config),
        bounded=boosters.term,
        chance=fit_chance(expected, past["audience"].to_numpy(float), sample_weights(past)),
    )
    return with_baseline(with_reference(bundle, newest), newest)


def _fit_boosters(rows: pd.DataFrame, present: pd.DataFrame | None, config: Model, fitted: FittedBoosters) -> Boosters:
    """Fit boosters on panel rows and set their level for the rows of the instant at which the newest horizon ends."""
    cutoffs = tuple(sorted(rows["as_of"].unique()))
    if present is None:
        return fit_boosters(rows, config)
    if cutoffs not in fitted:
        boosters = fit_boosters(rows, config)
        set_level(boosters, in_scope(present, ALL), total_audience(in_scope(rows[rows["as_of"] == cutoffs[-1]], ALL)))
        fitted[cutoffs] = boosters
    return fitted[cutoffs]


def _predict_past(
    splits: Iterable[tuple[pd.DataFrame, pd.DataFrame]], features: list[str], config: Model, fitted: FittedBoosters
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict recent rows by boosters of older ones, for each of the splits; return what intervals are fitted to.

    The errors are thus out of time, and include that of the level.
    """
    predicted = []
    for older, recent in splits:
        if not older["audience"].any():
            break
        present = recent if older["as_of"].max() < recent["as_of"].max() else None
        boosters = _fit_boosters(older, present, config, fitted)
        predicted.append((recent.filter([*features, "audience", WEIGHT]), np.exp(boosters.margins(recent))))
    rows, expected = zip(*predicted, strict=True)
    return pd.concat(rows, ignore_index=True), np.concatenate(expected)


def _past_splits(panel: pd.DataFrame, split: Split) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Divide the rows before the end of each of the newest horizons into older and recent ones, newest first.

    They are divided by time, or into two halves of the users where there is one cutoff.
    """
    if not split.older:
        rows = rows_at(panel, split.newest)
        even = pd.util.hash_array(rows["user"].to_numpy(object)) % 2 == 0
        yield rows[even], rows[~even]
    for k in range(len(split.older), max(len(split.older) - PAST_HORIZONS, 0), -1):
        yield rows_at(panel, *split.cutoffs[:k]), rows_at(panel, split.cutoffs[k])


def _facts(rows: pd.DataFrame, split: Split, config: Config) -> dict[str, Any]:
    horizon = timedelta(days=config.outcome.horizon_days)
    return {
        "as_of": (split.newest + horizon).isoformat(),
        "training_cutoffs": [cutoff.isoformat() for cutoff in split.cutoffs],
        "calibration_cutoff": split.newest.isoformat(),
        "interval_cutoffs": min(max(len(split.older), 1), PAST_HORIZONS),
        "rows": len(rows),
        "catalogue": CATALOGUE.fingerprint,
        "config": config.model_dump(mode="json"),
    }
