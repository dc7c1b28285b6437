"""Fit the recipe: every part of a bundle, on a panel."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE, INPUTS, SCORED
from features.errors import TooSmallError
from features.events.scopes import ALL
from training.config import Config
from training.dataset.panel import Split, in_scope, rows_at
from training.dataset.sampling import representative
from training.model.bounded_term import fit_boosters, set_level, total_audience
from training.model.bundle import Bundle
from training.model.intervals import Intervals, Quantiles, fit_intervals, fit_quantiles
from training.model.reference_distributions import with_baseline, with_reference
from training.model.scale import Scale, make_scale

QUANTILE_ROWS = 100_000


def fit(
    panel: pd.DataFrame,
    split: Split,
    config: Config,
    scale: Scale | None = None,
    present: pd.DataFrame | None = None,
) -> Bundle:
    """Fit the whole recipe: the boosters on all cutoffs, intervals on the older ones, calibrated on the newest.

    Everybody together is expected to have as large an audience as in the newest horizon (`set_level`).

    Parameters
    ----------
    panel : rows of all cutoffs of `split`
    split : the cutoffs to learn from
    config : what to fit
    scale : a frozen scale; None makes a new one
    present : feature rows of the instant at which the newest horizon ends; None leaves the level as it was learnt

    Raises
    ------
    TooSmallError : nobody has an audience on the calibration cutoff

    """
    rows = rows_at(panel, *split.cutoffs)
    older, recent = _calibration_split(panel, split)
    if not recent["audience"].any() or not older["audience"].any():
        raise TooSmallError(
            f"nobody drew an audience in the {config.outcome.horizon_days} days from {split.newest:%Y-%m-%d} or "
            "before: there is nothing to learn from. Bring a community in which people engage with each other."
        )
    boosters = fit_boosters(rows, config.model)
    newest = in_scope(rows_at(panel, split.newest), ALL)
    if present is not None:
        set_level(boosters, in_scope(present, ALL), total_audience(newest))
    quantiles, intervals = _fit_intervals(older, recent, config)
    recent, newest = representative(recent), representative(newest)
    active = recent["acts_365d"].to_numpy() > 0
    bundle = Bundle(
        booster_text=boosters.first.model_to_string(),
        features={feature.name: feature.fingerprint for feature in (INPUTS if boosters.bounded else SCORED)},
        scale=scale or make_scale(boosters.margins(recent)[active]),
        quantiles=quantiles,
        intervals=intervals,
        horizon_days=config.outcome.horizon_days,
        facts=_facts(rows, split, config),
        bounded=boosters.term,
    )
    return with_baseline(with_reference(bundle, newest), newest)


def _fit_intervals(older: pd.DataFrame, recent: pd.DataFrame, config: Config) -> tuple[Quantiles, Intervals]:
    """Fit quantiles on older rows, and calibrate them on recent ones as boosters of the older rows predict those.

    The calibration thus sees errors out of time, a change of level included. Quantiles are fitted on 100,000 rows at
    most: more prolong training without improving the calibrated intervals.
    """
    boosters = fit_boosters(older, config.model)
    rows = representative(older)
    sample = rows.sample(min(len(rows), QUANTILE_ROWS), random_state=config.model.seed)
    quantiles = fit_quantiles(sample, np.exp(boosters.margins(sample)), config.model, config.interval.level)
    before = in_scope(older[older["as_of"] == older["as_of"].max()], ALL)
    if older["as_of"].max() < recent["as_of"].max():
        set_level(boosters, in_scope(recent, ALL), total_audience(before))
    recent = representative(recent)
    ends = quantiles.around(recent[SCORED.names].to_numpy(float))
    expected, audience = np.exp(boosters.margins(recent)), recent["audience"].to_numpy(float)
    return quantiles, fit_intervals(expected, *ends, audience, config.interval.level)


def _calibration_split(panel: pd.DataFrame, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return older rows and recent ones: by time, or two halves of the users where there is one cutoff."""
    recent = rows_at(panel, split.newest)
    if split.older:
        return rows_at(panel, *split.older), recent
    even = pd.util.hash_array(recent["user"].to_numpy(object)) % 2 == 0
    return recent[even], recent[~even]


def _facts(rows: pd.DataFrame, split: Split, config: Config) -> dict[str, Any]:
    horizon = timedelta(days=config.outcome.horizon_days)
    return {
        "as_of": (split.newest + horizon).isoformat(),
        "training_cutoffs": [cutoff.isoformat() for cutoff in split.cutoffs],
        "calibration_cutoff": split.newest.isoformat(),
        "rows": len(rows),
        "catalogue": CATALOGUE.fingerprint,
        "config": config.model_dump(mode="json"),
    }
