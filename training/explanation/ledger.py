"""The ledger of a score: points per feature that add up to the score exactly.

Discounts are responses that did not count in full, because they were mutual, or came from people to whom few respond or
who returned from an absence. They are not lines of the ledger, because the score was computed without them. They state
what the model would have given if they had counted, in plain words and without a judgement: most of these responses are
genuine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue import CATALOGUE
from features.catalogue.credible_wording import LATELY, WHY_FEWER, WHY_SOME_FEWER, YEAR, reasons_for_fewer
from features.catalogue.feature import Feature
from features.catalogue.tenure import ABSENT_DAYS
from features.catalogue.wording import UNCOUNTED, Uncounted, least_points_of, people, points_of, value_of, when
from training.explanation.feature_constraints import ABSENT, engager_effects
from training.explanation.possible_changes import (
    COUNTS,
    MORE_ABSENT,
    PossibleChange,
    alternative_rows,
    days_to_longer_absence,
    effects_of_members,
    own_changes,
    possible_changes,
)
from training.explanation.reasons import LEAST_POINTS, SILENT, Line
from training.model.baseline import Baseline
from training.model.bundle import Bundle, FeatureRow

ANYBODY, PEOPLE = "responses_from_anybody", "responders_365d"
DISCOUNT_FEATURES = {kind: f"uncounted_{kind}_365d" for kind in UNCOUNTED}
LEAST_FEWER = 0.5


@dataclass(frozen=True)
class Discount:
    """Responses that did not count in full.

    Parameters
    ----------
    kind : responses by people who are new, who exchange responses with the user, or who returned from an absence
    value : by how many people fewer they count
    points : what they would have added at least
    sentence : what a reviewer reads

    """

    kind: Uncounted
    value: float
    points: float
    sentence: str


@dataclass(frozen=True)
class Alternatives:
    """What the model gives a user with other values of features.

    Parameters
    ----------
    discounts : what would have added half a point or more if it had counted, or takes half a person or more off, most
        points first
    possible_changes : one or two; see `possible_changes`

    """

    discounts: tuple[Discount, ...]
    possible_changes: tuple[PossibleChange, ...]


def alternatives(
    bundle: Bundle,
    row: FeatureRow,
    vector: np.ndarray | None = None,
    margin: float | None = None,
    free_days: float = ABSENT_DAYS,
) -> Alternatives:
    """Compute the alternatives of one user.

    One prediction for all: a call costs more than its rows.

    Parameters
    ----------
    bundle : the model
    row : the user's features, the unscored ones as well
    vector : the model's features
    margin : that of the user, nats
    free_days : without activity, before absence begins

    """
    vector = bundle.vector(row) if vector is None else vector
    margin = float(bundle.margin(vector[np.newaxis])[0]) if margin is None else margin
    counted, own = _counted_in_full(row), own_changes(row)
    single = [*counted.values(), *own.values(), {ABSENT: row.get(ABSENT, 0.0) + MORE_ABSENT}]
    rows = alternative_rows(bundle, vector, single, effects_of_members(row, COUNTS))
    points = bundle.scale.points(bundle.margins_beside(rows, margin))
    gains = points[1:] - points[0]
    gain_of = dict(zip((*counted, *own), gains.tolist(), strict=False))
    return Alternatives(
        discounts=_discounts(row, {kind: gain_of[kind] for kind in counted}),
        possible_changes=possible_changes(
            float(points[0]),
            {kind: gain_of[kind] for kind in own},
            gains[len(single) :],
            (days_to_longer_absence(row, free_days), -float(gains[len(single) - 1])),
        ),
    )


def _counted_in_full(row: FeatureRow) -> dict[Uncounted, dict[str, float]]:
    """Return the features if what did not count had counted, by reason."""
    kinds = [kind for kind, name in DISCOUNT_FEATURES.items() if row.get(name, 0.0) > 0]
    return {kind: _with_more_people(row, row[f"uncounted_{kind}_28d"], row[f"uncounted_{kind}_365d"]) for kind in kinds}


def _with_more_people(row: FeatureRow, recent: float, year: float) -> dict[str, float]:
    """Return the features if more people counted, recent ones and those of a year, in full, and raised them least.

    That is, as if the recent ones responded 28 days ago, where half of a response is counted. They end a silence.
    """
    features = {name: row[name] + rise for name, rise in engager_effects(row, recent, year).items()}
    least = {"credible_engagers_7d": row.get("credible_engagers_7d", 0.0), LATELY: row.get(LATELY, 0.0) + recent / 2}
    silence = dict.fromkeys(SILENT, 0.0) if recent else {}
    return features | {name: value for name, value in (least | silence).items() if name in row}


def _discounts(row: FeatureRow, points: Mapping[Uncounted, float]) -> tuple[Discount, ...]:
    fewer = reasons_for_fewer(row)
    kinds = [
        kind
        for kind, gain in points.items()
        if kind in fewer and (gain >= LEAST_POINTS or row[DISCOUNT_FEATURES[kind]] >= LEAST_FEWER)
    ]
    kinds.sort(key=lambda kind: -points[kind])
    return tuple(
        Discount(kind, row[DISCOUNT_FEATURES[kind]], points[kind], f"{clause}{_would_add(points[kind])}")
        for kind, clause in zip(kinds, _why_fewer(row, [(kind, fewer[kind]) for kind in kinds]), strict=True)
    )


def _why_fewer(row: FeatureRow, fewer: Sequence[tuple[Uncounted, str]]) -> list[str]:
    """Say by how many fewer people those count who responded, and why, for each reason."""
    count = value_of(row, PEOPLE)
    if count == 1:
        part = " in full" if value_of(row, YEAR) else ""
        return [f"The person who responded does not count{part} because {WHY_FEWER[kind]}" for kind, _ in fewer]
    who = "The people who responded" if count is None else f"The {people(count)} who responded"
    return [
        f"{'They' if k else who} count as {number} fewer because {_why(kind, count, row[DISCOUNT_FEATURES[kind]])}"
        for k, (kind, number) in enumerate(fewer)
    ]


def _why(kind: Uncounted, count: float | None, fewer: float) -> str:
    """Say why people count as so many fewer: some of them, unless it is by more than all but one of them can be."""
    return (WHY_FEWER if count is not None and count - 1 < fewer <= count else WHY_SOME_FEWER)[kind]


def _would_add(points: float) -> str:
    return f"; if they counted in full, {higher(points)}." if points >= LEAST_POINTS else "."


def higher(points: float) -> str:
    """Say by how many points a score would be higher at least."""
    return f"the score would be at least {least_points_of(points)} higher"


@dataclass(frozen=True)
class Ledger:
    """The parts of one score: `base + sum(points) = unclipped`, and `clip(unclipped, 0, 100) = score`.

    `held_back` lists what did not count, and what it would have added, and `possible_changes` what would raise the
    score; they are not part of the sum.
    """

    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]
    held_back: tuple[Discount, ...] = ()
    possible_changes: tuple[PossibleChange, ...] = ()

    @property
    def clipping(self) -> float:
        """The points that clipping to 0..100 adds or takes."""
        return self.score - self.unclipped

    @property
    def families(self) -> dict[str, float]:
        """Points by family, largest first; with the base they add up to the unclipped score as the lines do."""
        points: dict[str, float] = {}
        for line in self.lines:
            points[line.family] = points.get(line.family, 0.0) + line.points
        return dict(sorted(points.items(), key=lambda item: -abs(item[1])))


def base_points(bundle: Bundle, baseline: Baseline | None = None) -> float:
    """Return the points of a baseline, by default the bundle's own, before any feature of the user is known."""
    zeros = np.zeros((1, len(bundle.features)))
    return float(bundle.scale.unclipped(bundle.shap_values(zeros, baseline)[0, -1]))


def contributions(bundle: Bundle, rows: pd.DataFrame, baseline: Baseline | None = None) -> pd.DataFrame:
    """Return the points per feature of scores: SHAP values of the margin, in nats, times points per nat.

    They are relative to a baseline, by default the bundle's own.

    Returns
    -------
    one column per feature, in points; with `base_points` each row adds up to the unclipped score within 1e-6

    """
    if rows.empty:
        return pd.DataFrame(columns=list(bundle.features), index=rows.index, dtype=float)
    points = bundle.shap_values(bundle.matrix(rows), baseline)[:, :-1]
    points *= bundle.scale.points_per_nat
    return pd.DataFrame(points, columns=list(bundle.features), index=rows.index, copy=False)


def side_by_side(
    bundles: tuple[Bundle, Bundle], baselines: tuple[Baseline, Baseline], rows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contributions of the same rows under two models, in the points of each.

    Both frames have the same columns: a feature that a model does not use gives no points in it.
    """
    frames = [contributions(bundle, rows, baseline) for bundle, baseline in zip(bundles, baselines, strict=True)]
    names = list(dict.fromkeys(name for points in frames for name in points))
    first, second = (points.reindex(columns=names, fill_value=0.0) for points in frames)
    return first, second


def ledger(bundle: Bundle, row: FeatureRow, baseline: Baseline | None = None) -> Ledger:
    """Explain one score, relative to a baseline, by default the bundle's own.

    Its lines are ordered by points, largest first; a feature that the model does not use has no line. The bounded term
    is one line, with its features as parts.

    Raises
    ------
    CatalogueError : a feature is missing

    """
    baseline = baseline or bundle.baseline
    scale, vector = bundle.scale, bundle.vector(row)
    *nats, average = bundle.shap_values(vector[np.newaxis], baseline)[0].tolist()
    margin = sum(nats, average)
    others = alternatives(bundle, row, vector, margin, baseline.free_days)
    by_feature = [
        _line(name, value, nat * scale.points_per_nat, baseline.typical.get(name), row)
        for name, value, nat in zip(bundle.features, vector.tolist(), nats, strict=True)
        if nat != 0.0
    ]
    by_feature.sort(key=lambda line: -abs(line.points))
    lines = [line for line in by_feature if line.feature not in bundle.bounded_features]
    if len(lines) < len(by_feature):
        parts = [line for line in by_feature if line.feature in bundle.bounded_features]
        lines.append(_bounded_line(bundle, parts, row, baseline.typical.get(PEOPLE)))
        lines.sort(key=lambda line: -abs(line.points))
    return Ledger(
        score=float(scale.points(margin)),
        unclipped=float(scale.unclipped(margin)),
        base=float(scale.unclipped(average)),
        baseline=baseline.description,
        lines=tuple(lines),
        held_back=others.discounts,
        possible_changes=others.possible_changes,
    )


def _bounded_line(bundle: Bundle, parts: Sequence[Line], row: FeatureRow, typical: float | None) -> Line:
    """Return the line of responses from anybody, established or not; its value is how many people responded."""
    points, count = sum(line.points for line in parts), value_of(row, PEOPLE)
    most = f"moves a score by {points_of(bundle.most_from_anybody)} at most"
    who = f"Established or not, {people(count)}" if count else "No person"
    sentence = f"{who} responded {when(LOOKBACK_DAYS, row)}; that alone {most}."
    if count is None:
        sentence = f"The sheer number of responses {most}."
    agrees = count is not None and typical is not None and (count - typical) * points > 0
    return Line(ANYBODY, "reach", count, points, sentence, typical if agrees else None, tuple(parts))


def _line(name: str, value: float, points: float, typical: float | None, row: FeatureRow) -> Line:
    known_value = None if value != value else value
    feature = CATALOGUE[name]
    shown = typical if _agrees(feature, known_value, typical, points) else None
    return Line(name, feature.family, known_value, points, feature.describe(known_value, row), shown)


def _agrees(feature: Feature, value: float | None, typical: float | None, points: float) -> bool:
    """Say whether the typical value differs from a user's to the side that explains the points.

    An unknown value is the worst one; a feature that can move a score either way agrees with any typical value.
    """
    if typical is None or feature.direction not in ("up", "down"):
        return typical is not None
    if value is None:
        return points < 0
    better = value - typical if feature.direction == "up" else typical - value
    return better * points > 0
