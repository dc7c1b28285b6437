"""The bounded term: what responses from anybody add to a score, within a band that no number of accounts can leave."""

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np
import pandas as pd

from training.config import Model
from training.model.booster import add_to_margin, fit_booster, fit_bounded_booster, margins, sample_weights
from training.model.trees.baseline_shapley import Tree, shap_between, split_trees
from training.model.trees.treeshap import ShapTables, shap_tables

SMALLEST = 1e-12
LEAST_AUDIENCE = 300  # of everybody together: fewer people do not show the level
MOST_LEVEL_CHANGE = 1.0


@dataclass(frozen=True)
class BoundedTerm:
    """A booster whose prediction is limited to a band before it is added to the margin.

    Two users that differ in its features alone differ by at most `2 * limit` nats, whatever these features are.

    Parameters
    ----------
    booster_text : in LightGBM's text form
    limit : nats, either way

    """

    booster_text: str
    limit: float

    @cached_property
    def booster(self) -> lgb.Booster:
        """The booster, parsed once."""
        return lgb.Booster(model_str=self.booster_text)

    @cached_property
    def tables(self) -> ShapTables | None:
        """The tables of SHAP values, for many rows or many calls; None for a booster that cannot be tabulated."""
        return shap_tables(self.booster)

    @cached_property
    def trees(self) -> tuple[Tree, ...]:
        """The booster's trees, for the difference between two rows."""
        return split_trees(self.booster)

    def limited(self, sums: np.ndarray) -> np.ndarray:
        """Return predictions of the booster, nats, limited to the band; any shape."""
        return np.asarray(np.clip(sums, -self.limit, self.limit))

    def between(self, before: np.ndarray, after: np.ndarray, sums: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Distribute the difference of two limited predictions over the features, as `shap_between` does.

        Where the limit binds, every part is reduced by the same factor.

        Parameters
        ----------
        before, after : features, NaN where unknown, shape (rows, features)
        sums : predictions of the booster for both, nats, shapes (rows,)

        """
        parts = shap_between(self.trees, before, after)
        moved, total = self.limited(sums[1]) - self.limited(sums[0]), parts.sum(axis=1)
        factor = np.divide(moved, total, out=np.zeros_like(moved), where=np.abs(total) > SMALLEST)
        return np.asarray(parts * np.clip(factor, 0.0, 1.0)[:, np.newaxis])


def fill_up(parts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Change parts so that each row adds up to its total, in proportion to their sizes.

    `parts` has shape (rows, features), `totals` (rows,).
    """
    size = np.abs(parts)
    sizes = size.sum(axis=1, keepdims=True)
    share = np.divide(size, sizes, out=np.full_like(size, 1 / parts.shape[1]), where=sizes > SMALLEST)
    return np.asarray(parts + share * (totals - parts.sum(axis=1))[:, np.newaxis])


@dataclass(frozen=True)
class Boosters:
    """The boosters of a model: on responses that count, and on responses from anybody, limited to `limit` nats."""

    first: lgb.Booster
    bounded: lgb.Booster | None
    limit: float

    def margins(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the natural logarithm of the expected audience, shape (rows,)."""
        margin = margins(self.first, rows)
        if self.bounded is None:
            return margin
        return np.asarray(margin + np.clip(margins(self.bounded, rows), -self.limit, self.limit))

    @property
    def term(self) -> BoundedTerm | None:
        """The bounded term, None without a booster for it."""
        return None if self.bounded is None else BoundedTerm(self.bounded.model_to_string(), self.limit)


def fit_boosters(rows: pd.DataFrame, config: Model) -> Boosters:
    """Fit both boosters on panel rows; `[model] bound = 0` fits the first alone."""
    first = fit_booster(rows, config)
    bounded = fit_bounded_booster(rows, config, margins(first, rows)) if config.bound else None
    return Boosters(first, bounded, config.bound)


def total_audience(rows: pd.DataFrame) -> float:
    """Return the audience of everybody for whom panel rows stand, people."""
    return float((rows["audience"].to_numpy(float) * sample_weights(rows)).sum())


def set_level(boosters: Boosters, rows: pd.DataFrame, audience: float) -> None:
    """Scale the expected audiences of rows by one factor, so that they add up to an audience.

    Features of a growing or young community drift, so that a model of its past expects too many or too few people; the
    next horizon has about as many as the last one. The factor is `e` at most, either way, and 1 where the audience is
    below 300 people, whose number varies too much from one horizon to the next.

    Parameters
    ----------
    boosters : changed in place
    rows : feature rows of everybody in one scope, or of a sample, at the instant from which audiences are expected
    audience : of everybody there in the newest complete horizon, people

    """
    if audience >= LEAST_AUDIENCE and len(rows):
        nats = np.log(audience / (np.exp(boosters.margins(rows)) * sample_weights(rows)).sum())
        add_to_margin(boosters.first, float(np.clip(nats, -MOST_LEVEL_CHANGE, MOST_LEVEL_CHANGE)))
