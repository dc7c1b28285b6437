"""The bundle: everything that a score needs, as one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from features.events.scopes import ALL
from training.model.booster import predict
from training.model.intervals import Intervals, Quantiles
from training.model.scale import Scale
from training.model.trees.baseline_shapley import Tree, split_trees
from training.model.trees.quickscorer import Forest, build_forest
from training.model.trees.treeshap import ShapTables, shap_tables

FeatureRow: TypeAlias = Mapping[str, float]  # one user's features by name, NaN where unknown

MANY_ROWS = 4_000
PREDICTED = ["score", "unclipped", "expected_audience", "low", "high"]


@dataclass(frozen=True)
class Bundle:
    """A model with the scale, intervals and facts that its scores and explanations need.

    Parameters
    ----------
    booster_text : predicts the expected audience, in LightGBM's text form
    features : name -> fingerprint of its definition, in the booster's order
    scale : from margin to points
    quantiles, intervals : from features to the ends of an interval, and from these to numbers of people
    horizon_days : the days ahead over which the audience is counted
    facts : training and test facts (JSON values)

    """

    booster_text: str
    features: dict[str, str]
    scale: Scale
    quantiles: Quantiles
    intervals: Intervals
    horizon_days: int
    facts: dict[str, Any]

    @cached_property
    def booster(self) -> lgb.Booster:
        """The booster, parsed once."""
        return lgb.Booster(model_str=self.booster_text)

    def warm(self) -> None:
        """Parse the boosters now, before the first prediction and explanation need them."""
        row = np.full((1, len(self.features)), np.nan)
        self.margin(row)
        self.shap_values(row)
        self.predicted(row)

    @cached_property
    def forest(self) -> Forest | None:
        """The booster and both quantiles, combined to predict many rows; None where they cannot be (`build_forest`)."""
        return build_forest([self.booster, *self.quantiles.boosters])

    @cached_property
    def tables(self) -> ShapTables | None:
        """The tables for SHAP values of many rows; None for a booster that cannot be tabulated."""
        return shap_tables(self.booster)

    @cached_property
    def trees(self) -> tuple[Tree, ...]:
        """The booster's trees, for the difference between two rows."""
        return split_trees(self.booster)

    @property
    def baseline(self) -> str:
        """The baseline of every explanation, in words."""
        return f"the average of the {self.facts['rows']:,} rows (a user at an instant) that the model was trained on"

    @property
    def label(self) -> str:
        """The label that the audience is: `engagers` or `credible_engagers`."""
        return str(self.facts["config"]["outcome"].get("label", "engagers"))

    @property
    def seeds(self) -> list[str]:
        """The users from whom credibility flows; empty where the rule chooses them."""
        return list(self.facts["config"].get("credibility", {}).get("seeds", []))

    @property
    def scopes(self) -> list[str]:
        """The scopes that the model was trained on."""
        return list(self.facts["config"]["panel"].get("scopes", [ALL]))

    def matrix(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the features in the booster's order, shape (rows, features), null as NaN.

        Raises
        ------
        CatalogueError : a feature is missing or not a number

        """
        columns = rows.columns.get_indexer(self._names)
        if (columns < 0).any():
            raise self._missing_features([name for name in self.features if name not in rows])
        try:
            return rows.take(columns, axis=1).to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise CatalogueError(f"the rows contain a value that is not a number: {error}.") from error

    def vector(self, row: FeatureRow) -> np.ndarray:
        """Return one user's features in the booster's order, shape (features,), unknown as NaN.

        Raises
        ------
        CatalogueError : a feature is missing

        """
        missing = [name for name in self.features if name not in row]
        if missing:
            raise self._missing_features(missing)
        return np.array([row[name] for name in self.features])

    def shap_values(self, matrix: np.ndarray) -> np.ndarray:
        """Return SHAP values of the margin in nats and, last, its average over the training rows: (rows, features + 1).

        Source: Lundberg et al. 2020, path-dependent TreeSHAP as in LightGBM; each row adds up to its margin. From
        4,000 rows on they are looked up in `tables`, which then repay their construction; both ways agree to 1e-12.
        """
        if len(matrix) >= MANY_ROWS and self.tables is not None:
            return self.tables.values(matrix)
        return predict(self.booster, matrix, pred_contrib=True)

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        """Return the logarithm of the expected audience, nats, shape (rows,), for the result of `matrix`."""
        return predict(self.booster, matrix, raw_score=True)

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Score feature rows.

        Parameters
        ----------
        rows : one column per feature, null where unknown; other columns are ignored

        Returns
        -------
        score (0-100), unclipped (points), expected_audience, low, high (people), with the index of `rows`

        Raises
        ------
        CatalogueError : a feature is missing or not a number

        """
        if rows.empty:
            return pd.DataFrame(columns=PREDICTED, index=rows.index, dtype=float)
        return pd.DataFrame(self.predicted(self.matrix(rows)), index=rows.index)

    def predicted(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of `predict`, shape (rows,) each, for the result of `matrix`."""
        if self.forest is not None:
            margin, *ends = self.forest.sums(matrix)
        else:
            margin, ends = self.margin(matrix), list(self.quantiles.around(matrix))
        expected = np.exp(margin)
        low, high = self.intervals.around(expected, *ends)
        columns = (self.scale.points(margin), self.scale.unclipped(margin), expected, low, high)
        return dict(zip(PREDICTED, columns, strict=True))

    @cached_property
    def _names(self) -> pd.Index:
        return pd.Index(list(self.features))

    def _missing_features(self, names: list[str]) -> CatalogueError:
        count = f"{len(names)} of the model's {len(self.features)} features"
        return CatalogueError(f"the rows lack {count}: {', '.join(names)}.")


def feature_row(row: pd.DataFrame) -> dict[str, float]:
    """Return the features of a frame with one row; columns that are not in the catalogue are ignored.

    Raises
    ------
    ValueError : the frame does not have exactly one row

    """
    if len(row) != 1:
        raise ValueError(f"found {len(row)} rows; expected one.")
    return {str(name): float(value) for name, value in row.iloc[0].items() if name in CATALOGUE}


def check_catalogue(bundle: Bundle) -> None:
    """Compare a bundle's features with the installed catalogue.

    Raises
    ------
    CatalogueError : a feature is absent from the catalogue or is defined differently there

    """
    absent = [name for name in bundle.features if name not in CATALOGUE]
    changed = [
        name
        for name, fingerprint in bundle.features.items()
        if name in CATALOGUE and CATALOGUE[name].fingerprint != fingerprint
    ]
    if absent or changed:
        raise CatalogueError(
            "the model was trained on another catalogue of features: "
            f"absent here: {', '.join(absent) or 'none'}; defined differently here: {', '.join(changed) or 'none'}. "
            "Install the version of clout-score that trained it, or train again with 'clout train'."
        )
