"""Counterfactuals: the score that a user would have with other features, and the changes that would raise it.

An outcome is an association among users: users whose features differ in this way have this score. It does not promise
that a user who changes will get it. `what_if` evaluates all scenarios: changes that the caller sets, changes to values
that peers have (`actionable_recourse`), and days of inactivity (`training.explanation.inactivity`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.catalogue.originality import EXCESS_REPETITIONS, FREE_REPETITIONS, most_excess_repetitions
from features.errors import did_you_mean
from training.explanation.feature_constraints import (
    ABSENT,
    LEVELS,
    PeerValues,
    WhatIfError,
    propagate_constraints,
)
from training.explanation.ledger import contributions
from training.explanation.reasons import LEAST_POINTS
from training.model.baseline import Baseline
from training.model.bundle import Bundle, FeatureRow
from training.model.intervals import Interval

CREATED = "created_90d"
ROUNDING = 1e-9
LONGEST_NAME = 40


@dataclass(frozen=True)
class Scenario:
    """A change to evaluate: the requested values, and `consequences` beyond those of `propagate_constraints`."""

    changes: Mapping[str, float]
    consequences: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureChange:
    """How one feature moves, because it was asked for or as a consequence.

    Parameters
    ----------
    feature : its name
    before, after : its value, None where unknown
    asked : whether this change was requested
    actionable : whether the user can act on the feature
    outside : whether no peer has such a value
    points : what its line in the ledger gains or loses
    sentence, sentence_now : what a reviewer reads, after the change and now

    """

    feature: str
    before: float | None
    after: float | None
    asked: bool
    actionable: bool
    outside: bool
    points: float
    sentence: str
    sentence_now: str


@dataclass(frozen=True)
class ScenarioOutcome:
    """The score of users who differ in this way.

    The points of the changes, `other_lines` and `clipping` add up to `gain` within 1e-6.

    Parameters
    ----------
    changes : the features that move
    asks : the effort, as the share of peers that the requested changes pass, in one feature or another, as if features
        were independent: `1 - product(1 - share of one)`
    score : in points, 0 to 100
    gain : `score` less the present one
    other_lines : points that lines of unchanged features gain or lose
    clipping : points that the limits of 0 and 100 take or add
    expected_audience : distinct people expected to engage within the horizon
    interval : of the audience
    in_own_hands : whether the user alone can make all requested changes

    """

    changes: tuple[FeatureChange, ...]
    asks: float
    score: float
    gain: float
    other_lines: float
    clipping: float
    expected_audience: float
    interval: Interval
    in_own_hands: bool


def what_if(
    bundle: Bundle,
    row: FeatureRow,
    scenarios: Sequence[Scenario],
    peers: PeerValues,
    baseline: Baseline | None = None,
) -> list[ScenarioOutcome]:
    """Evaluate scenarios for one user, each on its own; return one outcome per scenario, in order.

    `row` holds every feature of the catalogue; `baseline` is that of the ledger, by default the bundle's own.

    Raises
    ------
    WhatIfError : the model does not use a feature, a value is impossible, or changes contradict each other
    CatalogueError : the row lacks a feature of the model

    """
    if not scenarios:
        return []
    row = dict(row)
    moves = [_all_changes(bundle, row, scenario, peers) for scenario in scenarios]
    rows = pd.DataFrame([row, *(row | values for values in moves)])
    predicted, points = bundle.predict(rows), contributions(bundle, rows, baseline)
    points = points - points.iloc[0]
    outcomes = []
    for k, (scenario, values) in enumerate(zip(scenarios, moves, strict=True), start=1):
        changes = _feature_changes(scenario, row, values, peers, points.iloc[k])
        shares = [
            peers.share_between(change.feature, change.before, change.after) for change in changes if change.asked
        ]
        effort = 1.0 - math.prod(1.0 - share for share in shares)
        outcomes.append(
            _outcome(scenario, changes, effort, predicted.iloc[[0, k]], points.iloc[k], bundle.intervals.level)
        )
    return outcomes


def actionable_recourse(
    bundle: Bundle, row: FeatureRow, peers: PeerValues, baseline: Baseline | None = None
) -> tuple[ScenarioOutcome, ...]:
    """Return the changes that the user can make alone, the smallest first, that gain half a point or more.

    Candidates are the end of absence, fewer repetitions at values that peers have (`LEVELS`), and both at once. A
    single event ends an absence, even a first one, so the only candidate there is its end. A change that takes
    more effort than another has to gain half a point more. Every value stays within those of peers.
    """
    returns = [{ABSENT: 0.0}] if ABSENT in bundle.features and row[ABSENT] > 0 else []
    levels = peers.distinct(EXCESS_REPETITIONS, LEVELS) if EXCESS_REPETITIONS in bundle.features else []
    fewer = [{EXCESS_REPETITIONS: value} for value in levels if value < row[EXCESS_REPETITIONS]]
    both = [one | other for one, other in product(returns, fewer)]
    outcomes = what_if(bundle, row, [Scenario(changes) for changes in (*returns, *fewer, *both)], peers, baseline)
    frontier: list[ScenarioOutcome] = []
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.asks, -outcome.gain)):
        least = (frontier[-1].gain if frontier else 0.0) + LEAST_POINTS
        used = [change for change in outcome.changes if change.feature in bundle.features]
        if outcome.gain >= least and not any(change.outside for change in used):
            frontier.append(outcome)
    return tuple(frontier)


def _all_changes(bundle: Bundle, row: dict[str, float], scenario: Scenario, peers: PeerValues) -> dict[str, float]:
    """Validate a scenario and return the new value of each feature that it moves."""
    changes, consequences = dict(scenario.changes), dict(scenario.consequences)
    _check(bundle, changes, row | consequences)
    return propagate_constraints(row, changes, peers.allowance) | consequences | changes


def _outcome(
    scenario: Scenario,
    changes: tuple[FeatureChange, ...],
    effort: float,
    predicted: pd.DataFrame,
    parts: pd.Series,
    level: float,
) -> ScenarioOutcome:
    before, after = (row for _, row in predicted.iterrows())
    gain = float(after["score"] - before["score"])
    return ScenarioOutcome(
        changes=changes,
        asks=effort,
        score=float(after["score"]),
        gain=gain,
        other_lines=float(parts.sum()) - sum(change.points for change in changes),
        clipping=gain - float(after["unclipped"] - before["unclipped"]),
        expected_audience=float(after["expected_audience"]),
        interval=Interval(int(after["low"]), int(after["high"]), level),
        in_own_hands=all(CATALOGUE[name].actionable for name in scenario.changes),
    )


def _feature_changes(
    scenario: Scenario, row: dict[str, float], values: dict[str, float], peers: PeerValues, parts: pd.Series
) -> tuple[FeatureChange, ...]:
    """Describe every feature that moves, requested ones first, then by points."""
    names = sorted(values, key=lambda name: (name not in scenario.changes, -abs(parts.get(name, 0.0)), name))
    return tuple(
        FeatureChange(
            feature=name,
            before=None if math.isnan(row[name]) else row[name],
            after=None if math.isnan(values[name]) else values[name],
            asked=name in scenario.changes,
            actionable=CATALOGUE[name].actionable,
            outside=not (math.isnan(values[name]) or peers.contains(name, values[name])),
            points=float(parts.get(name, 0.0)),
            sentence=CATALOGUE[name].describe(values[name], row | values),
            sentence_now=CATALOGUE[name].describe(row[name], row),
        )
        for name in names
        if not np.isclose(values[name], row[name], rtol=0, atol=ROUNDING, equal_nan=True)
    )


def _check(bundle: Bundle, changes: dict[str, float], row: dict[str, float]) -> None:
    for name, value in changes.items():
        if name not in CATALOGUE:
            hint = did_you_mean(name, bundle.features)
            raise WhatIfError(f"unknown feature {name[:LONGEST_NAME]!r}{hint}; {_usable_features(bundle)}")
        if name not in bundle.features:
            raise WhatIfError(f"{name} cannot change a score: the model does not use it; {_usable_features(bundle)}")
        share = CATALOGUE[name].unit == "share"
        if not np.isfinite(value) or value < 0 or (share and value > 1):
            limit = "to 1" if share else "up"
            expected = f"a number from 0 {limit}, in {CATALOGUE[name].unit}"
            raise WhatIfError(f"{name} cannot be {value:g}: expected {expected}.")
        most = most_excess_repetitions(row[CREATED])
        if name == EXCESS_REPETITIONS and value > max(most, row[name]):
            raise WhatIfError(
                f"{name} cannot be {value:g} with {row[CREATED]:g} pieces created: the first repeats nothing, and "
                f"{FREE_REPETITIONS} repetitions do not count; expected at most {most:g}."
            )


def _usable_features(bundle: Bundle) -> str:
    own = [name for name in bundle.features if CATALOGUE[name].actionable]
    example = next(iter((*own, *bundle.features)))
    return f"expected a feature of clout explain --json, such as {example}."
