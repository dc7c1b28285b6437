"""The bundle: everything that a score needs, as one frozen object."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from features.events.scopes import ALL
from training.model.baseline import Baseline, average_row
from training.model.booster import predict
from training.model.bounded_term import BoundedTerm, fill_up
from training.model.chance import Chance
from training.model.intervals import Intervals
from training.model.scale import Scale
from training.model.trees.baseline_shapley import Tree, shap_between, split_trees
from training.model.trees.quickscorer import Forest, build_forest
from training.model.trees.treeshap import ShapTables, shap_tables

FeatureRow: TypeAlias = Mapping[str, float]  # one user's features by name, NaN where unknown

MANY_ROWS = 1_000
PREDICTED = ["score", "unclipped", "expected_audience", "low", "high"]


@dataclass(frozen=True)
class Bundle:
    """A model with the scale, intervals and facts that its scores and explanations need.

    Parameters
    ----------
    booster_text : predicts the expected audience, in LightGBM's text form
    features : name -> fingerprint of its definition, in the boosters' order
    scale : from margin to points
    intervals : from the expected audience and features to the ends of an interval
    horizon_days : the days ahead over which the audience is counted
    facts : training and test facts (JSON values)
    bounded : what responses from anybody add, limited to a band; None where they add nothing
    chance : from the expected audience to the chance that anybody engages; None in models of earlier versions, and
        where too few past users show it

    """

    booster_text: str
    features: dict[str, str]
    scale: Scale
    intervals: Intervals
    horizon_days: int
    facts: dict[str, Any]
    bounded: BoundedTerm | None = None
    chance: Chance | None = None

    def with_facts(self, facts: Mapping[str, Any]) -> "Bundle":
        """Return the same bundle with more facts, JSON values by name."""
        return replace(self, facts=self.facts | dict(facts))

    @cached_property
    def booster(self) -> lgb.Booster:
        """The booster, parsed once."""
        return lgb.Booster(model_str=self.booster_text)

    def warm(self) -> None:
        """Parse the boosters and tabulate their SHAP values now, before the first prediction and explanation."""
        _ = self.tables, self.bounded and self.bounded.tables
        row = np.full((1, len(self.features)), np.nan)
        self.margin(row)
        self.shap_values(row)
        self.predicted(row)

    @cached_property
    def forest(self) -> Forest | None:
        """All boosters, combined to predict many rows; None where they cannot be (`build_forest`)."""
        bounded = [self.bounded.booster] if self.bounded else []
        return build_forest([self.booster, *bounded])

    @cached_property
    def tables(self) -> ShapTables | None:
        """The tables of SHAP values, for many rows or many calls; None for a booster that cannot be tabulated."""
        return shap_tables(self.booster)

    @cached_property
    def trees(self) -> tuple[Tree, ...]:
        """The booster's trees, for the difference between two rows."""
        return split_trees(self.booster)

    @cached_property
    def baseline(self) -> Baseline:
        """The baseline of explanations that have none of their own scope: users at the newest cutoff of training."""
        facts = self.facts.get("baseline")
        return Baseline(**facts) if facts else average_row(self.facts["rows"])

    @cached_property
    def bounded_features(self) -> list[str]:
        """The features of the bounded term."""
        return list(self.features)[self.booster.num_feature() :]

    @property
    def most_from_anybody(self) -> float:
        """The points by which responses from anybody, established or not, can move a score, rounded up to a tenth."""
        points = 2 * self.bounded.limit * self.scale.points_per_nat if self.bounded else 0.0
        return math.ceil(points * 10 - 1e-6) / 10

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

    def shap_values(self, matrix: np.ndarray, baseline: Baseline | None = None) -> np.ndarray:
        """Return SHAP values of the margin in nats and, last, the margin of the baseline: (rows, features + 1).

        Each row adds up to its margin. Each value is relative to its average over the baseline's users, by default
        those of the bundle's own baseline. The values of the bounded term's features add up to what it adds after the
        limit (`fill_up`).

        Source: Lundberg et al. 2020, path-dependent TreeSHAP as in LightGBM. From 1,000 rows on, and for single rows
        after `warm`, the values are looked up in tables, which then repay their construction; both ways agree to 1e-12.
        """
        values = np.zeros((len(matrix), len(self.features) + 1))
        own = _shap_values(self, matrix)
        baseline = baseline or self.baseline
        means = np.array([baseline.nats.get(name, 0.0) for name in self.features])
        width = own.shape[1] - 1
        values[:, :width] = own[:, :-1] - means[:width]
        values[:, -1] = own[:, -1] + means[:width].sum()
        if self.bounded:
            parts = _shap_values(self.bounded, matrix)
            base = float(self.bounded.limited(parts[0, -1])) if baseline.bounded is None else baseline.bounded
            added = self.bounded.limited(parts.sum(axis=1))
            values[:, width:-1] = fill_up(parts[:, width:-1] - means[width:], added - base)
            values[:, -1] += base
        return values

    def move(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Distribute the difference of two rows' margins over the features, nats, shape (rows, features).

        `before` and `after` are results of `matrix`; see `shap_between` for what a part means.
        """
        nats = shap_between(self.trees, before, after)
        if self.bounded:
            sums = self.bounded_sums(before), self.bounded_sums(after)
            nats += self.bounded.between(before, after, sums)
        return nats

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        """Return the logarithm of the expected audience, nats, shape (rows,), for the result of `matrix`."""
        margin = predict(self.booster, matrix, raw_score=True)
        return np.asarray(margin + self.bounded.limited(self.bounded_sums(matrix))) if self.bounded else margin

    def margins_beside(self, rows: np.ndarray, margin: float) -> np.ndarray:
        """Return the margins of rows that differ from the first one in no feature of the bounded term, shape (rows,).

        `margin` is that of the first row; the bounded term adds the same to all of them.
        """
        margins = predict(self.booster, rows, raw_score=True)
        return np.asarray(margins + (margin - margins[0]))

    def bounded_sums(self, matrix: np.ndarray) -> np.ndarray:
        """Return the bounded term before the limit, nats, shape (rows,); zeros without one."""
        if self.bounded is None or not len(matrix):
            return np.zeros(len(matrix))
        return predict(self.bounded.booster, matrix, raw_score=True)

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
            margin, *added = self.forest.sums(matrix)
            if self.bounded:
                margin = margin + self.bounded.limited(added[0])
        else:
            margin = self.margin(matrix)
        expected = np.exp(margin)
        low, high = self.intervals.around(expected, matrix, list(self.features))
        columns = (self.scale.points(margin), self.scale.unclipped(margin), expected, low, high)
        return dict(zip(PREDICTED, columns, strict=True))

    @cached_property
    def _names(self) -> pd.Index:
        return pd.Index(list(self.features))

    def _missing_features(self, names: list[str]) -> CatalogueError:
        count = f"{len(names)} of the model's {len(self.features)} features"
        return CatalogueError(f"the rows lack {count}: {', '.join(names)}.")


def _shap_values(trees: Bundle | BoundedTerm, matrix: np.ndarray) -> np.ndarray:
    """Return SHAP values of one booster in nats and, last, its average: (rows, features of the booster + 1)."""
    worth_tables = len(matrix) >= MANY_ROWS or (len(matrix) == 1 and "tables" in vars(trees))
    if worth_tables and trees.tables is not None:
        return trees.tables.values(matrix[:, : trees.booster.num_feature()])
    return predict(trees.booster, matrix, pred_contrib=True)


def feature_row(row: pd.DataFrame) -> dict[str, float]:
    """Return the features of a frame with one row; columns that are not in the catalogue are ignored.

    Raises
    ------
    ValueError : the frame does not have exactly one row

    """
    if len(row) != 1:
        raise ValueError(f"found {len(row)} rows; expected one.")
    return {str(name): float(value) for name, value in row.iloc[0].items() if name in CATALOGUE}


class Champion(NamedTuple):
    """The model that scores, and its version in the registry."""

    bundle: Bundle
    version: str


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
        if name in CATALOGUE and not CATALOGUE[name].has_fingerprint(fingerprint)
    ]
    if absent or changed:
        raise CatalogueError(
            "the model was trained on another catalogue of features: "
            f"absent here: {', '.join(absent) or 'none'}; defined differently here: {', '.join(changed) or 'none'}. "
            "Install the version of clout-score that trained it, or train again with 'clout train'."
        )
